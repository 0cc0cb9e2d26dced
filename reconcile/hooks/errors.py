"""How a workflow learns of a file that did not arrive in the cloud: by an error, a warning, or a line in the log."""

from __future__ import annotations

import contextlib
import os

from reconcile.core.errors import ReconcileError, UsageError, as_ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

QUEUE = "queue"
LOGGER = "reconcile.hooks"


class NotUploaded(ReconcileError):
    """The work of a workflow is on disk, but not all of it is in the cloud; ``__cause__`` says why.

    ``result`` is what the function of the workflow returned, ``path`` the first file that did not arrive, and ``uris``
    has the URI of each file that did.
    """

    def __init__(self, cause: ReconcileError, path: str, uris: dict[str, str], result: Any = None) -> None:
        ended = "was uploaded, but its record was not changed" if path in uris else "was not uploaded"
        told = f"{path} {ended}: {cause.message}"
        super().__init__(told, hint=cause.hint or "`reconcile apply` takes it up again")
        self.code = cause.code
        self.exit_code = cause.exit_code
        self.transient = cause.transient
        self.path = path
        self.uris = uris
        self.result = result


class HookOptions:
    """The behaviour of a hook when the cloud fails, and how long it waits, in seconds."""

    lock = 600.0
    """For another run to end; 5 with ``queue``."""
    silence = 10.0
    """For a queued hand-over from which nothing is heard."""
    doubt = 2.0
    """The same, if a queued hand-over failed within the last ``memory`` seconds."""
    memory = 600.0
    rest = 30.0
    """After a queued hand-over has failed, before another one is tried."""

    def __init__(self, on_error: str, project: str | os.PathLike[str] | None, hook: str = "", **seconds: float) -> None:
        """Raises UsageError for an ``on_error`` that does not exist. ``hook`` is the name of the hook that it was given
        to."""
        if on_error not in ("raise", "warn", QUEUE):
            raise UsageError(f"{hook}: on_error is {on_error!r}", hint="give 'raise', 'warn' or 'queue'")
        self.on_error = on_error
        self.project = None if project is None else os.fspath(project)
        if on_error == QUEUE:
            self.lock = 5.0
        vars(self).update(seconds)

    def guarded(
        self, work: Callable[[], tuple[dict[str, str], dict[str, ReconcileError]]], result: Any, name: str
    ) -> dict[str, str]:
        """Does the work and returns the URIs, by path. ``result`` is what the function of the workflow returned, and
        ``name`` its name in a message if no single file is to blame. Raises NotUploaded if something failed and
        ``on_error`` is ``raise``; otherwise reports it."""
        uris: dict[str, str] = {}
        try:
            uris, problems = work()
        except Exception as error:  # noqa: BLE001 whatever fails, the caller must get what the workflow made
            problems = {name: as_ours(error)}
        if not problems:
            return uris
        (path, cause), *others = problems.items()
        failure = NotUploaded(cause, path, uris, result)
        with contextlib.suppress(ImportError):  # at the very end of the program nothing can be imported any more
            self._tell(failure, [error for _, error in others])
        if self.on_error == "raise":
            raise failure from cause
        return uris

    def _tell(self, failure: NotUploaded, others: list[ReconcileError]) -> None:
        """Logs, or warns of, the errors that are not raised: NotUploaded has room for one cause."""
        import logging
        import warnings

        logger = logging.getLogger(LOGGER)
        for error in others:
            logger.warning("%s", error.sentence)
        # Without a handler, logging would write to stderr, where the warning already is.
        if self.on_error == QUEUE or (self.on_error == "warn" and logger.hasHandlers()):
            logger.warning("%s", failure.sentence)
        if self.on_error == "warn":
            warnings.warn(failure.sentence, stacklevel=5)
