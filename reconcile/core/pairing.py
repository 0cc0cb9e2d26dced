"""A file and an object whose names are one name, though spelled in two Unicode forms: joined into one key's row.

A Mac, and some file servers, write the decomposed form of a name that a bucket or a record holds composed. Bytes differ
and listings sort them apart, so such rows wait until both listings have been read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from reconcile.core.names import may_be_respelt, nfc
from reconcile.core.stages.key import KeyRows


class Pairing:
    """Holds the rows that have one side only and whose name can be spelled in another form."""

    def __init__(self) -> None:
        self._held: dict[str, list[KeyRows]] = defaultdict(list)

    def holds(self, row: KeyRows) -> bool:
        """Takes a row into keeping if its other side may still come under another spelling."""
        if (row.local is None) == (row.remote is None) or not may_be_respelt(row.key):
            return False
        self._held[nfc(row.key)].append(row)
        return True

    def rest(self) -> Iterator[KeyRows]:
        """The rows held, each file joined to the one object of its name. The object keeps its spelling."""
        for rows in self._held.values():
            files = [row for row in rows if row.local is not None]
            objects = [row for row in rows if row.remote is not None]
            if len(files) == 1 and len(objects) == 1:
                yield msgspec.structs.replace(objects[0], path=files[0].path, local=files[0].local)
            else:
                yield from _collided(files, objects)
                yield from objects


def _collided(files: Sequence[KeyRows], objects: Sequence[KeyRows]) -> Iterator[KeyRows]:
    """Files of which none can be told to be the object's: with a name that the bucket has already, in other bytes."""
    for row in files:
        if objects and row.local is not None and row.local.twin is None:
            yield msgspec.structs.replace(row, local=msgspec.structs.replace(row.local, twin=objects[0].key))
        else:
            yield row
