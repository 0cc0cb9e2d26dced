"""The two sides of a conflict in words, and the commands that resolve it."""

from __future__ import annotations

import datetime
import re
import shlex

from reconcile.core.changes import Code
from reconcile.core.findings import Form
from reconcile.core.media import content_type
from reconcile.core.rows import LocalFile, RemoteObject

KEEP_OURS = "reconcile apply --path {quoted} --replace local"
SEE_THEIRS = "reconcile restore --path {quoted} --beside"
KEEP_THEIRS = "reconcile restore --path {quoted}"

BOTH_SIDES = Form(
    Code.CONTENT_CONFLICT,
    "the bucket holds an object of this name with different content: {why}; here {ours}; in the bucket {theirs}",
    f"to keep the local file: `{KEEP_OURS}`; to see the bucket's version beside it: `{SEE_THEIRS}`; to keep that one:"
    f" move the local file away, then `{KEEP_THEIRS}`",
)

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_PLAIN = re.compile(r"[\w./:@+-]+")
_FRACTION = re.compile(r"\.\d+")


def quoted(word: str) -> str:
    """Returns a word of a command line as every shell accepts it: in double quotes, unless it has special
    characters."""
    if _PLAIN.fullmatch(word):
        return word
    return shlex.quote(word) if any(char in word for char in '"$`\\!') else f'"{word}"'


def ways_out(path: str) -> tuple[tuple[str, str], ...]:
    """Returns what a person may want in a conflict about a local path, each with its command."""
    ways = (
        ("keep the local file", KEEP_OURS),
        ("see the bucket's version beside it", SEE_THEIRS),
        ("keep the bucket's version: move the local file away, then", KEEP_THEIRS),
    )
    return tuple((wanted, command.format(quoted=quoted(path))) for wanted, command in ways)


def local_side(file: LocalFile) -> tuple[int, str, str]:
    """Returns the bytes of a local file, when it was last written, and the content type of its name."""
    return file.size, modified(file), content_type(file.path)


def remote_side(found: RemoteObject) -> tuple[int, str, str]:
    """Returns the bytes of an object, when it was last written (RFC 3339, to the second), and its content type."""
    return found.size, _FRACTION.sub("", found.updated), found.content_type or "no content type"


def modified(file: LocalFile) -> str:
    """Returns when a local file was last written (RFC 3339); empty for a time outside the calendar."""
    try:
        return f"{_EPOCH + datetime.timedelta(microseconds=file.mtime_ns // 1000):%Y-%m-%dT%H:%M:%SZ}"
    except OverflowError:
        return ""


def side_text(size: int, when: str, kind: str) -> str:
    """Returns one side in words."""
    return ", ".join(filter(None, (f"{size:,} bytes", when, kind)))
