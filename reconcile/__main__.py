"""The process: runs a command, and turns every error into one sentence and an exit code."""

from __future__ import annotations

import sys

# An interrupt during an import prints a traceback, so only what is needed to listen to signals is imported here.
try:
    import gc
    import os
    import signal
except KeyboardInterrupt:
    sys.exit(130)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
    from typing import Any, NoReturn

    from reconcile.core.errors import UsageError

_INTERRUPTED = 130
_NO_MEMORY = b"""\
error: the system has no memory left for this process
hint: raise the limit (ulimit -v, the memory of a container)
"""
_NO_MEMORY_DOCUMENT = b"""\
{
  "format": "reconcile.error/1",
  "code": "no_room",
  "message": "the system has no memory left for this process",
  "hint": "raise the limit (ulimit -v, the memory of a container)"
}
"""
_NEW_OBJECTS = 50_000
"""The number of new objects after which the garbage collector looks for cycles."""
_early: list[int] = []
"""The signal that arrived before the command could begin."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (``sys.argv`` by default) and returns its exit code. Never raises."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _open_streams()
    streams = sys.stdout, sys.stderr
    # Unless told not to before its import, gRPC writes lines of its own to stderr when a connection ends.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from reconcile.adapters.room import can_begin, keep, need_less
        from reconcile.cli.signals import terminable

        need_less()
        if not can_begin():
            return _tell_without_memory(given)
        keep()

        with terminable():
            if _early:
                raise KeyboardInterrupt
            try:
                _keep_names_writable()
                code = _run(given)
                _flush()
                return code
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, the user gets a sentence
                return _fail(error, given)
    except KeyboardInterrupt as error:  # before the command began, or while its end was being reported
        return _fail(error, given)
    except Exception as error:
        room = sys.modules.get("reconcile.adapters.room")  # None if its own import failed
        if room is not None and not room.shortage(error):
            raise
        return _tell_without_memory(given)
    finally:
        _close_log(streams)


def _close_log(streams: tuple[Any, Any]) -> None:
    """Restores the process's streams if ``--log-file`` replaced them."""
    log, (sys.stdout, sys.stderr) = sys.stdout, streams
    if log is not streams[0]:
        try:  # noqa: SIM105 one import less
            log.close()
        except OSError:
            pass  # its disk is full


def _open_streams() -> None:
    """Connects missing standard streams to the null device.

    Their descriptors must be occupied, too: a database that got one of them would be a workflow's stdin, or receive
    output.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is the stream's own
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 it stays open


def _run(given: list[str]) -> int:
    import typer
    from typer.main import get_command

    from reconcile.cli import app
    from reconcile.core.errors import ExitCode

    if "_RECONCILE_COMPLETE" in os.environ and not given:
        from reconcile.cli.shells import tell

        return tell(get_command(app))
    # Some versions of typer bundle a copy of click and export only the subclass; its base is click's UsageError.
    usage: type[Exception] = typer.BadParameter.__mro__[1]
    try:
        code = get_command(app).main(given, prog_name="reconcile", standalone_mode=False) or ExitCode.OK
    except usage as error:
        raise _usage(error) from error
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    if code == ExitCode.INTERRUPTED and not isinstance(code, ExitCode):
        # Our commands return an ExitCode; a bare 130 is the library's result for an interrupt of its own code.
        raise KeyboardInterrupt
    return int(code)


def _usage(error: BaseException) -> UsageError:
    from reconcile.core.errors import UsageError

    context = getattr(error, "ctx", None)
    described = getattr(error, "format_message", error.__str__)()
    sentence = " ".join(str(described).replace("Value error, ", "").split()).rstrip(".")
    path = context.command_path if context is not None else "reconcile"
    return UsageError(sentence[:1].lower() + sentence[1:], hint=f"`{path} --help` says what it takes")


def _fail(cause: BaseException, given: Sequence[str]) -> int:
    """Writes the error to stderr, and also to stdout, as the only document, if JSON was requested."""
    import itertools

    from reconcile.adapters.room import let_go

    let_go()
    from reconcile.views.errors import error_of, show_error
    from reconcile.views.streams import OutputFailed

    asked = given[: given.index("--")] if "--" in given else given
    as_json = "--log-format=json" in asked or ("--log-format", "json") in itertools.pairwise(asked)
    error = error_of(cause)
    try:
        show_error(error, document="--json" in asked, as_log=as_json, verbose=_is_verbose(asked))
        _flush()
    except OutputFailed:
        pass  # nobody can be informed: only the exit code is left
    return int(error.exit_code)


def _is_verbose(asked: Sequence[str]) -> bool:
    return any(each == "--verbose" or (each[:1] == "-" and each[1:] and set(each[1:]) == {"v"}) for each in asked)


def _tell_without_memory(given: Sequence[str]) -> int:
    """Reports that there is no memory for anything else, in prepared bytes."""
    if "--json" in given:
        os.write(1, _NO_MEMORY_DOCUMENT)
    os.write(2, _NO_MEMORY)
    return 1


def _keep_names_writable() -> None:
    """Escapes characters that a console's encoding lacks, instead of stopping the run."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _flush() -> None:
    from reconcile.views.streams import flush

    flush(sys.stdout)
    flush(sys.stderr)


def run() -> NoReturn:
    """Runs ``main`` and ends the process.

    After an interrupt it ends at once: a thread that hangs in a request would keep the process until its time-out.
    """
    signal.signal(signal.SIGINT, _before_the_command)
    signal.signal(signal.SIGTERM, _before_the_command)
    if hasattr(signal, "SIGBREAK"):
        signal.signal(signal.SIGBREAK, _before_the_command)
    # Hardly any object of a run is part of a cycle, and the default of 700 new objects is reached by two records.
    gc.set_threshold(_NEW_OBJECTS)
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt now would only spoil the exit code
    if code == _INTERRUPTED:
        os._exit(code)
    # Otherwise the interpreter searches all memory several times for unreferenced objects.
    gc.disable()
    gc.freeze()
    sys.exit(status(code))


def status(code: int) -> int:
    """Returns the exit code in the form that Python accepts.

    Windows has codes of 32 bits, and Python turns those too large for a C ``int`` into -1. A negative number has the
    same 32 bits.
    """
    return code - (1 << 32) if code >> 31 == 1 else code


def _before_the_command(number: int, _frame: FrameType | None) -> None:
    """Notes the first signal, which is handled once the imports are done; the second one ends the process."""
    if _early:
        os._exit(_INTERRUPTED)
    _early.append(number)


if __name__ == "__main__":
    run()
