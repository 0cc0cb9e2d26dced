"""Documents for machines: one JSON document on stdout, in UTF-8 whatever the locale."""

from __future__ import annotations

import json
import re
from typing import Any, TextIO

import msgspec

from reconcile.adapters.system import current
from reconcile.core.errors import ReconcileError
from reconcile.core.names import escaped
from reconcile.core.report import Report
from reconcile.views.streams import write_bytes

# C1 controls and DEL; marks and overrides of direction; line and paragraph separators; invisible characters.
_OBEYED = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_NOT_ASCII = re.compile("[^\x00-\x7f]")
ERROR_FORMAT = "reconcile.error/1"
INIT_FORMAT = "reconcile.init/1"
RUN_FORMAT = "reconcile.run/1"


class ErrorDocument(msgspec.Struct, frozen=True):
    """An error: a stable ``code``, the sentence, and what to do next (empty if there is nothing to say)."""

    format: str
    code: str
    message: str
    hint: str

    @classmethod
    def of(cls, error: ReconcileError) -> ErrorDocument:
        """Returns the document of an error. What is not valid UTF-8, in a name from the command line, is escaped."""
        return cls(ERROR_FORMAT, error.code, escaped(error.message), escaped(error.hint))


class InitDocument(msgspec.Struct, frozen=True):
    """The document of ``init --json``: the rules file that was written. If the records were read, ``previous_roots``
    are the former roots found in them, each with how many of their ``paths`` it explains."""

    format: str
    path: str
    previous_roots: dict[str, int] = {}
    paths: int = 0


class RunDocument(msgspec.Struct, frozen=True):
    """The document of ``run --json``: the exit code of the workflow, its seconds, and what apply did, or why it
    failed."""

    format: str
    exit_code: int
    seconds: float
    result: Report | None
    error: ErrorDocument | None


def dumps(document: Any) -> bytes:
    """Returns one document, indented, ending with a newline.

    Characters that could control a terminal or deceive a reader (C1 controls, bidi overrides, line separators) are
    escaped.
    """
    return harmless(msgspec.json.format(msgspec.json.encode(document), indent=2)) + b"\n"


def line(fields: dict[str, Any]) -> bytes:
    """Returns one document on one line, escaped like ``dumps``; what is not valid UTF-8 is escaped, too."""
    written = {name: escaped(value) if isinstance(value, str) else value for name, value in fields.items()}
    return harmless(msgspec.json.encode(written)) + b"\n"


def harmless(encoded: bytes) -> bytes:
    """Escapes what could control a terminal in encoded JSON. It can only be within texts, so escaping is safe."""
    if encoded.isascii() and b"\x7f" not in encoded:
        return encoded
    return _OBEYED.sub(lambda found: f"\\u{ord(found.group()):04x}", encoded.decode()).encode()


def show(stream: TextIO, document: Any) -> None:
    """Writes the document as bytes, so that the encoding of a console cannot spoil it."""
    _write(stream, dumps(document))


def show_line(stream: TextIO, document: Any) -> None:
    """Writes the document on a line of its own, even if other output ended in the middle of a line."""
    _write(stream, b"\n" + harmless(msgspec.json.encode(document)) + b"\n")


def show_piece(stream: TextIO, encoded: bytes) -> None:
    """Writes an encoded piece of a document."""
    _write(stream, harmless(encoded))


def _write(stream: TextIO, encoded: bytes) -> None:
    """Writes encoded JSON. On Windows the reader may be PowerShell, which decodes what a program writes by the code
    page of the console; so every character that is not ASCII is written as a ``\\u`` escape."""
    if not encoded.isascii() and current().is_windows and not stream.isatty():
        encoded = _NOT_ASCII.sub(lambda found: json.dumps(found.group())[1:-1], encoded.decode()).encode()
    write_bytes(stream, encoded)
