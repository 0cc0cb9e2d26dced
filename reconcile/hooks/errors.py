"""How a workflow learns of a file that did not arrive in the cloud: by an error, a warning, or a line in the log."""

from __future__ import annotations

import contextlib
import os

from reconcile.core.errors import ReconcileError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

UPLOADING = "auto_upload_to_gcs"
SYNCING = "sync_upsert"
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
    """What a decorator of this name was given, and how long its calls wait for the cloud, in seconds."""

    lock = 600.0
    """For another run to end; 5 with ``queue``."""
    silence = 10.0
    """For a queued hand-over from which nothing is heard."""
    doubt = 2.0
    """The same, if a queued hand-over failed within the last ``memory`` seconds."""
    memory = 600.0
    rest = 30.0
    """After a queued hand-over has failed, before another one is tried."""

    def __init__(
        self,
        name: str,
        on_error: str,
        project: str | os.PathLike[str] | None,
        asset_type: str | None = None,
        char_id: Callable[[Mapping[str, Any]], str | None] | None = None,
        **seconds: float,
    ) -> None:
        """Raises UsageError for options that cannot be right."""
        if on_error not in ("raise", "warn", QUEUE):
            raise UsageError(f"{name}: on_error is {on_error!r}", hint="give 'raise', 'warn' or 'queue'")
        if char_id is not None and not callable(char_id):
            raise UsageError(
                f"@{name}: char_id is {char_id!r}", hint="give a function of the call's arguments, or leave it out"
            )
        self.name = name
        self.on_error = on_error
        self.project = None if project is None else os.fspath(project)
        self.asset_type = asset_type
        self.char_id = char_id
        if on_error == QUEUE:
            self.lock = 5.0
        vars(self).update(seconds)

    def report(self, problems: dict[str, ReconcileError], uris: dict[str, str], result: Any) -> None:
        """Tells the workflow what did not arrive, and why. Raises NotUploaded if ``on_error`` is ``raise``."""
        (path, cause), *others = problems.items()
        failure = NotUploaded(cause, path, uris, result)
        with contextlib.suppress(ImportError):  # at the very end of the program nothing can be imported any more
            import logging
            import warnings

            logger = logging.getLogger(LOGGER)
            for _, error in others:  # NotUploaded has room for one cause
                logger.warning("%s", error.sentence)
            # Without a handler, logging would write to stderr, where the warning already is.
            if self.on_error == QUEUE or (self.on_error == "warn" and logger.hasHandlers()):
                logger.warning("%s", failure.sentence)
            if self.on_error == "warn":
                warnings.warn(failure.sentence, stacklevel=4)
        if self.on_error == "raise":
            raise failure from cause
