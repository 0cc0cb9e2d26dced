"""The error of a file that is on disk and did not arrive in the cloud."""

from __future__ import annotations

from reconcile.core.errors import ReconcileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


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
        self.path = path
        self.uris = uris
        self.result: Any = None
