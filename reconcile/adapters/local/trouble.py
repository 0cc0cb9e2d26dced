"""Reasons why an entry below the local root is not a file that can be uploaded."""

from __future__ import annotations

import os
import stat

from reconcile.adapters.local.folder import OpenFolder
from reconcile.adapters.local.names import Entry, link_detail
from reconcile.adapters.opening import is_text, is_windows_trick
from reconcile.adapters.system import current
from reconcile.core.names import MAX_OBJECT_BYTES
from reconcile.core.rows import FileProblem

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISCHR, "a character device"),
)


def trouble(folder: OpenFolder, entry: Entry, seen: os.stat_result) -> tuple[FileProblem, str] | None:
    """Returns why the entry of an open folder, with this status, cannot be uploaded; None if it can."""
    name, mode = entry.name, seen.st_mode
    is_usual = stat.S_IFMT(mode) == stat.S_IFREG and not entry.is_link and name.isascii()
    if is_usual and seen.st_size <= MAX_OBJECT_BYTES and not current().is_windows:
        return None
    if not (name.isascii() or is_text(name)):
        return FileProblem.UNDECODABLE, "the name is not UTF-8; rename the file"
    if current().is_windows and is_windows_trick(name):
        return FileProblem.UNREADABLE, "Windows takes this name for a device or another place; rename the file"
    if entry.is_link or stat.S_ISLNK(mode):
        return FileProblem.SYMLINK, link_detail(folder, name)
    if not stat.S_ISREG(mode):
        kind = next((words for test, words in _KINDS if test(mode)), "of another kind")
        return FileProblem.UNREADABLE, f"it is {kind}, not a regular file"
    if seen.st_size > MAX_OBJECT_BYTES:
        return FileProblem.TOO_LARGE, f"it has {seen.st_size:,} bytes"
    return None
