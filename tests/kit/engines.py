"""The referee of every engine: rows in a dictionary, shuffled, with the two sides of each key apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from random import Random
from typing import Any

import msgspec

from reconcile.core.rows import Group, KeyRow, Row, Stream
from reconcile.pipeline.engine import IsWhole


class DictionaryEngine:
    """Reads everything, then gives every key once, and keys and values in any order."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def group(
        self, rows: Iterable[Row], is_whole: IsWhole | None = None, last: Iterable[Row] = ()
    ) -> Iterator[tuple[str, Group]]:
        """See ``Engine.group``; nothing is given out early."""
        del is_whole
        found: dict[str, dict[Stream, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for row in chain(rows, last):
            values = apart(row.value) if row.stream is Stream.KEY else [row.value]
            found[row.key][row.stream].extend(values)
        for key in self._random.sample(list(found), len(found)):
            group = found[key]
            yield key, {stream: self._random.sample(values, len(values)) for stream, values in group.items()}


def apart(row: KeyRow) -> list[KeyRow]:
    """The row as an engine gets it that does not read sorted listings side by side: what each side saw, for itself."""
    nothing = KeyRow(row.key, row.path)
    return [
        msgspec.structs.replace(nothing, local=row.local, local_known=row.local_known),
        msgspec.structs.replace(nothing, remote=row.remote, remote_known=row.remote_known),
        msgspec.structs.replace(nothing, agreed=row.agreed),
    ]
