"""The plan of a restore: the objects of the bucket that would become local files again."""

from __future__ import annotations

import msgspec

from reconcile.core.changes import Code, Finding
from reconcile.core.findings import Form
from reconcile.core.plan import Scope, Stores
from reconcile.core.report import Outcome, OutcomeKind, Problem

FORMAT = "reconcile.restore-plan/1"
KIND = "restore"

LEFT_ALONE = Form(
    Code.CONTENT_CONFLICT,
    "is in the place of an object whose content ({size} bytes) differs or may differ: {why}; it was left alone",
    "`reconcile restore --path {quoted} --beside` writes the bucket's version next to it; or move it away and restore",
)
NO_PLACE = Form(
    Code.UNDECODABLE_NAME,
    "cannot be made a file here",
    "restore it on another system, or fetch it by hand under another name",
)
PLACE_TAKEN = Form(
    Code.NAME_COLLISION,
    "its file would be {path}, which cannot stand beside {other}; it was not restored",
    "fetch it by hand under another name: gcloud storage cp {quoted} FILE",
)
HIDDEN_PLACE = Form(
    Code.UNREADABLE_FILE,
    "its file would be {path}, below {folder}, which was not read; it was not restored",
    "put a folder that can be read in the place of the link or of the folder that cannot, then restore again",
)


class Restore(msgspec.Struct, frozen=True, kw_only=True):
    """Restores one object as the file ``path`` below the root, if the path is free and the object's generation
    unchanged.

    ``begun`` bytes of it were left by an interrupted run; ``updated`` becomes the file's time. With an ``encoding``,
    ``size`` and ``crc32c`` are those of the compressed bytes, and the file gets the decompressed content, like a reader
    of the URL.
    """

    id: str
    key: str
    path: str
    char_id: str | None
    asset_type: str | None
    uri: str
    size: int
    crc32c: str
    generation: int
    updated: str
    begun: int = 0
    encoding: str = ""

    def outcome(self, kind: OutcomeKind, problem: Problem | None = None) -> Outcome:
        error = None if problem is None else problem.sentence
        return Outcome(id=self.id, kind=KIND, key=self.key, outcome=kind, error=error, problem=problem)


class RestoreBeside(Restore, frozen=True, kw_only=True):
    """Writes the bucket's version of a local file next to the file, which stays."""


class RestorePlan(msgspec.Struct, frozen=True):
    """The files that would be created, in order.

    ``in_step`` files exist already; ``complete`` is false if a part of the local root could not be read, or an object's
    place is below a folder that was not read, such as a link.
    """

    format: str
    tool: str
    created: str
    scope: Scope
    everything: bool
    stores: Stores
    complete: bool
    in_step: int
    bytes: int
    actions: tuple[Restore, ...]
    findings: tuple[Finding, ...]


def name_beside(path: str) -> str:
    """Returns the path for the bucket's version of a local file, next to it: ``NAME.bucket.EXT``."""
    folder, slash, name = path.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    return f"{folder}{slash}{stem}.bucket.{ending}" if dot and stem else f"{path}.bucket"
