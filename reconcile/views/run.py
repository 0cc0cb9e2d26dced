"""``run --json``: one document, behind what the workflow itself wrote to the same stream."""

from __future__ import annotations

from typing import TextIO

import msgspec

from reconcile.core.report import Report
from reconcile.views.json import ErrorDocument, harmless
from reconcile.views.streams import write_bytes

FORMAT = "reconcile.run/1"


class RunDocument(msgspec.Struct, frozen=True):
    """The workflow's exit code, how many seconds it took, and what apply did or why it did not."""

    format: str
    exit_code: int
    seconds: float
    result: Report | None
    error: ErrorDocument | None


def show(stream: TextIO, document: RunDocument) -> None:
    """Writes the document as a line of its own, also if the workflow ended in the middle of one."""
    write_bytes(stream, b"\n" + harmless(msgspec.json.encode(document)) + b"\n")
