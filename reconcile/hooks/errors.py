"""What a workflow is told of a file that did not arrive in the cloud: an error, a warning, or a line in the log."""

from __future__ import annotations

import contextlib
import os

from reconcile.core.errors import ReconcileError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

QUEUE = "queue"
ON_ERROR = ("raise", "warn", QUEUE)
LOGGER = "reconcile.hooks"
TAKEN_UP = "`reconcile apply` takes it up again"


class NotUploaded(ReconcileError):
    """A workflow's work is done and on disk, and not all of it is in the cloud; ``__cause__`` says why.

    ``result`` is what the workflow's function returned, ``path`` the first file that did not arrive, and ``uris`` has
    the URI of each file that did.
    """

    def __init__(self, cause: ReconcileError, path: str, uris: dict[str, str]) -> None:
        told = f"{path} is on disk, but the cloud is not in step with it: {cause.message}"
        super().__init__(told, hint=cause.hint or TAKEN_UP)
        self.__cause__ = cause
        self.code = cause.code
        self.exit_code = cause.exit_code
        self.transient = cause.transient
        self.path = path
        self.uris = uris
        self.result: Any = None


class Manner:
    """How a hook behaves when the cloud does not do its part, and how long it waits, in seconds: ``lock`` for another
    run to end, ``silence`` for a queued hand-over of which nothing is heard (``doubt`` if one failed in the last
    ``memory``), and ``rest`` before it tries again a cloud that failed."""

    def __init__(
        self,
        on_error: str,
        project: str | None,
        *,
        lock: float = 600.0,
        silence: float = 10.0,
        doubt: float = 2.0,
        rest: float = 30.0,
        memory: float = 600.0,
    ) -> None:
        self.on_error = on_error
        self.project = project
        self.lock = lock
        self.silence = silence
        self.doubt = doubt
        self.rest = rest
        self.memory = memory

    @classmethod
    def of(cls, on_error: str, project: str | os.PathLike[str] | None, hook: str) -> Manner:
        """The manner that a hook's options name. Raises UsageError for an ``on_error`` that does not exist."""
        if on_error not in ON_ERROR:
            raise UsageError(f"{hook}: on_error is {on_error!r}", hint="give 'raise', 'warn' or 'queue'")
        folder = None if project is None else os.fspath(project)
        return cls(on_error, folder, lock=5.0) if on_error == QUEUE else cls(on_error, folder)

    def guarded(self, work: Callable[[], dict[str, str]], result: Any, name: str) -> dict[str, str]:
        """What the work gives: the URIs by path; if it fails, those of the files that did arrive. ``result`` is what
        the workflow's function returned, and ``name`` what to call it if no file is to blame. Raises NotUploaded if the
        hook was told to raise."""
        try:
            return work()
        except NotUploaded as error:
            failure = error
        except Exception as error:  # noqa: BLE001 whatever it is, what the workflow made must reach its caller
            failure = NotUploaded(as_ours(error), name, {})
        failure.result = result
        if self.on_error == "raise":
            raise failure from failure.__cause__
        with contextlib.suppress(ImportError):  # so late in the program's end nothing can be imported any more
            self._tell(failure)
        return failure.uris

    def _tell(self, failure: NotUploaded) -> None:
        import logging
        import warnings

        logger = logging.getLogger(LOGGER)
        # Without a handler logging would write to stderr, where the warning is already.
        if self.on_error == QUEUE or logger.hasHandlers():
            logger.warning("%s", failure.sentence)
        if self.on_error == "warn":
            warnings.warn(failure.sentence, stacklevel=5)


def as_ours(error: Exception) -> ReconcileError:
    """The error itself, or one of this package that tells of it and has it as its cause."""
    if isinstance(error, ReconcileError):
        return error
    told = ReconcileError(f"{type(error).__name__}: {error}", hint="see the traceback of the cause")
    told.__cause__ = error
    return told
