"""The two sides of a conflict in words, and the commands that end it."""

from __future__ import annotations

import datetime
import re
import shlex

from reconcile.core.changes import Code
from reconcile.core.findings import Form
from reconcile.core.media import content_type
from reconcile.core.rows import LocalFile, RemoteObject

BOTH_SIDES = Form(
    Code.CONTENT_CONFLICT,
    "the bucket holds an object of this name with different content: {why}; here {ours}; in the bucket {theirs}",
    "to keep the local file: `reconcile apply --path {quoted} --replace local`; to see the bucket's version beside it:"
    " `reconcile restore --path {quoted} --beside`; to keep that one: move the local file away, then"
    " `reconcile restore --path {quoted}`",
)

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_PLAIN = re.compile(r"[\w./:@+-]+")
_FRACTION = re.compile(r"\.\d+")


def quoted(word: str) -> str:
    """A word of a command line as every shell takes it: in double quotes, unless it holds what has a meaning there."""
    if _PLAIN.fullmatch(word):
        return word
    return shlex.quote(word) if any(char in word for char in '"$`\\!') else f'"{word}"'


def local_side(file: LocalFile) -> str:
    """The size, time and type of a local file."""
    return _side(file.size, modified(file), content_type(file.path))


def remote_side(found: RemoteObject) -> str:
    """The size, time and type of an object."""
    return _side(found.size, _FRACTION.sub("", found.updated), found.content_type or "no content type")


def modified(file: LocalFile) -> str:
    """When a local file was last written (RFC 3339); empty for a time that no calendar has."""
    try:
        return f"{_EPOCH + datetime.timedelta(microseconds=file.mtime_ns // 1000):%Y-%m-%dT%H:%M:%SZ}"
    except OverflowError:
        return ""


def _side(size: int, when: str, kind: str) -> str:
    return ", ".join(filter(None, (f"{size:,} bytes", when, kind)))
