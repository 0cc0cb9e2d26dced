"""Joins a file and an object whose names are one name in two Unicode forms into the row of one key.

A Mac, and some file servers, write a name in decomposed form that a bucket or a record has composed. The bytes differ
and listings sort them apart, so such rows are joined once all rows of the folded key are present.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from reconcile.core.names import may_be_respelt, nfc
from reconcile.core.rows import KeyRow


def is_lone(row: KeyRow) -> bool:
    """Whether only one side exists, and the other may exist under another spelling."""
    return (row.local is None) is not (row.remote is None) and may_be_respelt(row.key)


def paired(rows: Iterable[KeyRow]) -> Iterator[KeyRow]:
    """Yields the rows, with each file without an object joined to the only object of its name. The object's spelling
    stays."""
    lone: dict[str, list[KeyRow]] = defaultdict(list)
    for row in rows:
        if is_lone(row):
            lone[nfc(row.key)].append(row)
        else:
            yield row
    for alike in lone.values():
        files = [row for row in alike if row.local is not None]
        objects = [row for row in alike if row.remote is not None]
        if len(files) == 1 and len(objects) == 1:
            seen = files[0]
            yield msgspec.structs.replace(objects[0], path=seen.path, local=seen.local, local_known=seen.local_known)
            yield msgspec.structs.replace(files[0], local=None, agreed=None)
        else:
            yield from _collided(files, objects)
            yield from objects


def _collided(files: Sequence[KeyRow], objects: Sequence[KeyRow]) -> Iterator[KeyRow]:
    """Yields files that may or may not be the object's: if there is an object, their name is taken in the bucket."""
    for row in files:
        if objects and row.local is not None and row.local.twin is None:
            twin = min(each.key for each in objects)
            yield msgspec.structs.replace(row, local=msgspec.structs.replace(row.local, twin=twin))
        else:
            yield row
