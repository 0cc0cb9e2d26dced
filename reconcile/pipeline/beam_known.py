"""The known character ids for the steps of a planning on Beam: as a side input, or along with the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from reconcile.core.asking import ids_for, ids_for_exploding
from reconcile.core.context import Context
from reconcile.core.rows import Row, Stream
from reconcile.pipeline.beam_steps import WORLDS, Keyed, as_key, pack, unpack

AT_HAND = 1_000_000
"""The most ids that every worker holds. They take 100 to 150 MB in each of its processes, and 20 to 40 MB on the way
there, for which Dataflow has a limit of 80 MB."""


class KnownIds:
    """The known ids, in one of two forms.

    ``beside`` is a side input that has them all, packed. If they go ``along``, it is None, and a join by id adds to the
    group of each row the ids that the row asks for.
    """

    def __init__(self, ids: beam.PCollection, context: Context, *, along: bool) -> None:
        self._ids = ids
        self._context = context
        self._along = along
        self.beside: Any = None
        if not along:
            at_once = ids | "all ids" >> beam.combiners.ToList() | "as one" >> beam.Map(pack)
            self.beside = AsSingleton(at_once)

    def grouped(self, name: str, rows: Any, *, explodes: bool = False) -> Any:
        """Puts each row into a group of its own, for a step that decides its next key. A document that the step
        ``explodes`` asks for the ids that its references ask for."""
        if not self._along or self._context.asset_map.keys_are_paths:  # then no id decides the key
            return rows | f"alone, {name}" >> beam.Map(_alone)
        return self.among(name, rows, explodes=explodes) | f"group {name}" >> beam.GroupByKey()

    def among(self, name: str, rows: Any, *, explodes: bool = False) -> Any:
        """Adds to the rows, under their keys, the ids that they ask for."""
        if not self._along:
            return rows
        asked = rows | f"asked by {name}" >> beam.FlatMap(_asked, self._context, explodes)
        there = self._ids | f"known to {name}" >> beam.Map(_as_there)
        both = {"asked": asked, "there": there} | f"joined to {name}" >> beam.CoGroupByKey()
        found = both | f"answered to {name}" >> beam.FlatMap(_answered)
        return (rows, found) | f"{name}, with ids" >> beam.Flatten()


def _asked(element: Keyed, context: Context, explodes: bool) -> Iterator[tuple[bytes, bytes]]:
    """A row → the ids that it asks for, with the key of the row."""
    key, row = element[0], unpack(element[1])
    asked = ids_for(row, context)
    if explodes:
        asked |= ids_for_exploding(row.value, WORLDS[row.stream], context)
    yield from ((as_key(each), key) for each in asked)


def _answered(element: tuple[bytes, dict[str, Iterable[bytes]]]) -> Iterator[Keyed]:
    """An id and the keys that ask for it → a row for each of these keys, if the id is known."""
    name, found = element
    if any(True for _ in found["there"]):
        row = pack(Row(Stream.KNOWN, "", name.decode("utf-8", "surrogatepass")))
        yield from ((key, row) for key in found["asked"])


def _alone(element: Keyed) -> tuple[bytes, list[bytes]]:
    return element[0], [element[1]]


def _as_there(char_id: str) -> tuple[bytes, bytes]:
    return as_key(char_id), b""
