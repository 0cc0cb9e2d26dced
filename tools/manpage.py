"""Writes docs/reconcile.1, the manual page, from the commands themselves.

``python -m tools.manpage`` writes it; a test keeps it current. The wheel installs it for ``man``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from typer import Context
from typer.main import get_command

from reconcile.cli import COMMANDS, app, load
from reconcile.cli.examples import shown
from reconcile.cli.options import COMMON, STORES
from reconcile.core.errors import ExitCode

FILE = Path(__file__).resolve().parent.parent / "docs" / "reconcile.1"
_CODES = {
    ExitCode.OK: "done; with --detailed-exitcode: nothing to do",
    ExitCode.FAILED: "something failed: an action, or a store that could not be read",
    ExitCode.DIFFERENCES: "with --detailed-exitcode, and from verify: there are differences",
    ExitCode.STALE: "a saved plan is stale for at least one action, which was left alone",
    ExitCode.REFUSED: "refused by a safety limit; --force overrides it",
    ExitCode.DECLINED: "declined at the prompt; nothing was changed",
    ExitCode.FINDINGS: "only with --fail-on: done, but findings of that severity remain",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.LOCKED: "another run holds the lock",
    ExitCode.CONFIG: "the rules file or the local database has an error",
    ExitCode.INTERRUPTED: "interrupted; the next run goes on from there",
}
_ENVIRONMENT = {
    "RECONCILE_RULES": "another rules file",
    "RECONCILE_BUCKET_URI, RECONCILE_BUCKET_ENDPOINT": "override [bucket] uri and endpoint",
    "RECONCILE_RECORDS_URI, RECONCILE_RECORDS_ENDPOINT": "override [records] uri and endpoint",
    "RECONCILE_LOCAL_ROOT": "overrides [local] root",
    "STORAGE_EMULATOR_HOST, FIRESTORE_EMULATOR_HOST": "emulators, used if the endpoints are empty",
    "GOOGLE_APPLICATION_CREDENTIALS": "a service account's key file",
    "NO_COLOR": "no colour",
}
_FILES = {
    "rules/asset_map.toml": "the asset map; the folder that holds rules/ is the project folder",
    ".reconcile/": "hash cache, journal and lock; deleting it loses speed and history, never correctness",
}


def text() -> str:
    """The page in roff."""
    root: Any = get_command(app)
    lines = [
        '.\\" Written by tools/manpage.py from the commands.',
        '.TH RECONCILE 1 "" "reconcile" "User Commands"',
        ".SH NAME",
        "reconcile \\- keep local media, a Google Cloud Storage bucket and Firestore records in sync",
        ".SH SYNOPSIS",
        ".B reconcile",
        "[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]",
        ".SH DESCRIPTION",
        "Lists local files, objects and records, compares them by hash, makes a plan and applies it: uploads what is",
        "missing and replaces local paths with gs:// URIs. A second run finds nothing to do.",
        "It deletes nothing.",
        ".SH COMMANDS",
    ]
    for name in COMMANDS:
        command = load(name)
        lines += [
            f".SS {_plain(f'reconcile {name}')} {_plain(_arguments(command))}".rstrip(),
            _plain(_summary(command)),
        ]
        lines += _options(option for option in command.params if _panel(option) not in (COMMON, STORES))
        lines += _examples(name)
    lines.append(".SH OPTIONS OF EVERY COMMAND")
    lines += _options((each for each in root.params if _panel(each) in (COMMON, STORES)), hidden=True)
    lines += _list("EXIT STATUS", {str(int(code)): said for code, said in _CODES.items()})
    lines += _list("ENVIRONMENT", _ENVIRONMENT)
    lines += _list("FILES", _FILES)
    return "\n".join(lines) + "\n"


def _summary(command: Any) -> str:
    return " ".join((command.help or "").split())


def _arguments(command: Any) -> str:
    context = Context(command)
    named = (param for param in command.get_params(context) if param.param_type_name == "argument")
    return " ".join(piece for param in named for piece in param.get_usage_pieces(context))


def _panel(option: Any) -> str | None:
    return getattr(option, "rich_help_panel", None)


def _options(params: Any, *, hidden: bool = False) -> list[str]:
    """The options as a list; the ``hidden`` ones only if asked for."""
    lines: list[str] = []
    for option in params:
        if option.param_type_name != "option" or option.name == "help" or (option.hidden and not hidden):
            continue
        flags = ", ".join(f"\\fB{_plain(flag)}\\fR" for flag in option.opts)
        value = "" if option.is_flag or option.count else f" \\fI{_plain(option.metavar or 'VALUE')}\\fR"
        lines += [".TP", flags + value, _plain(option.help or "")]
    return lines


def _examples(command: str) -> list[str]:
    title, *lines = shown(command).splitlines()
    return [".PP", title, ".PP", ".nf", *(f"    {_plain(line)}" for line in lines), ".fi"]


def _list(title: str, entries: dict[str, str]) -> list[str]:
    lines = [f".SH {title}"]
    for name, said in entries.items():
        lines += [".TP", f"\\fB{_plain(name)}\\fR", _plain(said)]
    return lines


def _plain(words: str) -> str:
    """Escapes text so that roff prints it as it is."""
    escaped = words.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return re.sub(r"^\.", r"\\&.", escaped)


def main() -> int:
    """Writes the page."""
    FILE.write_text(text(), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
