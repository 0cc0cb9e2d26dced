"""Rows of a walk: a file of known content, a file to be hashed, or the reason why a path has no file."""

from __future__ import annotations

import os
from typing import NamedTuple

from reconcile.core.rows import FileProblem, Hashed, LocalFile, Signature

_INODE_MASK = 2**63 - 1


class Miss(NamedTuple):
    """A file to hash. ``known`` is the cache's entry for its present look, if that is doubted."""

    path: str
    seen: os.stat_result
    twin: str | None
    known: Hashed | None = None

    def problem(self, problem: FileProblem, detail: str) -> LocalFile:
        """Returns the row of a file that could not be hashed."""
        return LocalFile(self.path, self.seen.st_size, self.seen.st_mtime_ns, None, problem, detail, self.twin)


Row = LocalFile | Miss


def identity(found: os.stat_result) -> Signature:
    """Returns what the hash cache compares. Network file systems use all 64 bits of the file id, a database has 63."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino & _INODE_MASK


def is_same(known: Hashed, found: os.stat_result) -> bool:
    """Whether a file looks unchanged, by each part of its ``identity``."""
    return (
        known.mtime_ns == found.st_mtime_ns
        and known.size == found.st_size
        and known.ctime_ns == found.st_ctime_ns
        and known.inode == found.st_ino & _INODE_MASK
    )


def with_content(path: str, found: Hashed, twin: str | None, *, holds_incomplete: bool) -> LocalFile:
    """Returns the row of a file with this content."""
    if found.size and not found.lacks:
        return LocalFile(path, found.size, found.mtime_ns, found.crc32c, None, "", twin)
    problem, detail = None, ""
    if found.size == 0:
        problem, detail = FileProblem.EMPTY, "the file has no bytes"
    elif found.lacks and holds_incomplete:
        problem, detail = FileProblem.INCOMPLETE, f"it {found.lacks}"
    return LocalFile(path, found.size, found.mtime_ns, None if problem else found.crc32c, problem, detail, twin)
