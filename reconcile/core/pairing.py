"""Joining a file and an object, whose names are one name in two Unicode forms, into the row of one key.

A Mac, and some file servers, write the decomposed form of a name that a bucket or a record holds composed. Bytes differ
and listings sort them apart, so such rows are joined when all rows of the folded key are there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from reconcile.core.names import may_be_respelt, nfc
from reconcile.core.rows import KeyRow


def is_lone(row: KeyRow) -> bool:
    """Whether only one side is there, and the other one may be there under another spelling."""
    return (row.local is None) is not (row.remote is None) and may_be_respelt(row.key)


def paired(rows: Iterable[KeyRow]) -> Iterator[KeyRow]:
    """The rows, each file that has no object joined to the one object of its name. The object keeps its spelling."""
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
    """Files that are not known to be the object's: if there is an object, the bucket has their name already."""
    for row in files:
        if objects and row.local is not None and row.local.twin is None:
            twin = min(each.key for each in objects)
            yield msgspec.structs.replace(row, local=msgspec.structs.replace(row.local, twin=twin))
        else:
            yield row
