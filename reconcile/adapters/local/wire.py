"""The format in which rows of a walk pass through a pipe: blocks with a length and a checksum.

``marshal`` encodes the blocks, from plain tuples and numbers: both sides are the same interpreter, and nothing is
faster.
"""

from __future__ import annotations

import marshal
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import starmap
from typing import Any

from reconcile.adapters.local.seen import Miss, Row
from reconcile.core.portable import Portable
from reconcile.core.rows import FileProblem, Hashed, LocalFile

ROWS = 1024
"""Rows in a block."""
_VERSION = 2  # newer versions look for repeated objects in a block, of which there are none
_HEAD = struct.Struct(">4sII")
_MARK = b"rec1"
_LONGEST = 2**28
_PLAIN, _ODD, _END = 0, 1, 2


class Garbled(Portable, ValueError):
    """Raised if the pipe delivers something that is not a block of a walk."""


def blocks(rows: Iterable[Row]) -> Iterator[bytes]:
    """Yields the rows in blocks, then the block that marks the end."""
    packed: list[tuple[Any, ...]] = []
    kind, count = _PLAIN, 0
    for row in rows:
        if isinstance(row, LocalFile) and row.problem is None and row.twin is None:
            packed.append((row.path, row.size, row.mtime_ns, row.crc32c))
        else:
            kind = _ODD
            packed.append(_packed(row))
        if len(packed) == ROWS:
            yield _block((kind, count, packed))
            count += ROWS
            packed, kind = [], _PLAIN
    yield _block((kind, count, packed))
    yield _block((_END, count + len(packed), []))


def read(pipe: Callable[[int], bytes]) -> bytes:
    """Returns the content of the next block. Raises Garbled, also at the end of the pipe.

    ``pipe`` must return as many bytes as requested unless it has ended.
    """
    head = pipe(_HEAD.size)
    if len(head) != _HEAD.size:
        raise Garbled("the pipe has ended")
    mark, size, checksum = _HEAD.unpack(head)
    if mark != _MARK or size > _LONGEST:
        raise Garbled("the data is not a block")
    body = pipe(size)
    if len(body) != size or zlib.crc32(body) != checksum:
        raise Garbled("the block is not whole")
    return body


def rows(bodies: Iterable[bytes]) -> Iterator[Row]:
    """Yields the rows of all blocks up to the end block. Raises Garbled if one is missing."""
    count = 0
    for body in bodies:
        kind, before, packed = marshal.loads(body)
        if before != count:
            raise Garbled("rows are missing")
        if kind == _END:
            return
        count += len(packed)
        yield from starmap(LocalFile, packed) if kind == _PLAIN else map(_unpacked, packed)
    raise Garbled("the end is missing")


def _block(value: tuple[int, int, list[tuple[Any, ...]]]) -> bytes:
    body = marshal.dumps(value, _VERSION)
    return _HEAD.pack(_MARK, len(body), zlib.crc32(body)) + body


def _packed(row: Row) -> tuple[Any, ...]:
    if isinstance(row, LocalFile):
        problem = None if row.problem is None else row.problem.value
        return row.path, row.size, row.mtime_ns, row.crc32c, problem, row.detail, row.twin
    made: Any = row.seen.__reduce__()  # the arguments that recreate the ``os.stat_result``
    shown, others = made[1]
    return row.path, shown, others, row.twin, None if row.known is None else tuple(row.known)


def _unpacked(packed: tuple[Any, ...]) -> Row:
    if len(packed) == 4:
        return LocalFile(*packed)
    if len(packed) == 7:
        path, size, mtime_ns, crc32c, problem, detail, twin = packed
        return LocalFile(path, size, mtime_ns, crc32c, problem and FileProblem(problem), detail, twin)
    path, shown, others, twin, known = packed
    return Miss(path, os.stat_result(shown, others), twin, known and Hashed(*known))
