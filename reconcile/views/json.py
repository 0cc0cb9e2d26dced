"""Documents for machines: one JSON document on stdout, in UTF-8 whatever the locale."""

from __future__ import annotations

from typing import Any, TextIO

import msgspec

from reconcile.core.errors import ReconcileError
from reconcile.views.streams import write_bytes

ERROR_FORMAT = "reconcile.error/1"
INIT_FORMAT = "reconcile.init/1"


class ErrorDocument(msgspec.Struct, frozen=True):
    """What went wrong: a stable ``code``, the sentence, and what to do next (empty where there is nothing to say)."""

    format: str
    code: str
    message: str
    hint: str

    @classmethod
    def of(cls, error: ReconcileError) -> ErrorDocument:
        """The document of an error; what cannot be written as UTF-8 (a name from the command line) is escaped."""
        return cls(ERROR_FORMAT, error.code, _encodable(error.message), _encodable(error.hint))


class InitDocument(msgspec.Struct, frozen=True):
    """``init --json``: the rules file that was written."""

    format: str
    path: str


def dumps(document: Any) -> bytes:
    """One document, indented, ending with a newline."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def show(stream: TextIO, document: Any) -> None:
    """Writes the document as bytes, so that a console's encoding cannot spoil it."""
    write_bytes(stream, dumps(document))


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
