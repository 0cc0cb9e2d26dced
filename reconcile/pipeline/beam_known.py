"""The known character ids, as the steps of a planning on Beam get them: beside, or along with the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from reconcile.core.asking import ids_for, ids_for_exploding
from reconcile.core.context import Context
from reconcile.core.rows import Row, Stream, World
from reconcile.pipeline.beam_steps import Keyed, as_key, pack, unpack

AT_HAND = 1_000_000
"""So many ids at most are with every worker: they take 100 to 150 MB in each of its processes, and 20 to 40 MB on their
way there, of which Dataflow takes 80 at once."""


class KnownIds:
    """``ids`` packed and ``beside``, for every step to have them whole. If they go ``along``, ``beside`` is None, and
    each row's group gets those of them that it asks for: a join by id."""

    def __init__(self, ids: beam.PCollection, context: Context, *, along: bool) -> None:
        self._ids = ids
        self._context = context
        self._along = along
        self.beside: Any = None
        if not along:
            at_once = ids | "all ids" >> beam.combiners.ToList() | "as one" >> beam.Map(pack)
            self.beside = AsSingleton(at_once)

    def grouped(self, name: str, rows: Any, world: World | None = None) -> Any:
        """Each row in a group of its own, for a step that decides under which key it goes on. What a document of a
        ``world`` asks for is what its references do."""
        if not self._along or self._context.asset_map.keys_are_paths:  # which no id decides
            return rows | f"alone, {name}" >> beam.Map(_alone)
        return self.among(name, rows, world) | f"group {name}" >> beam.GroupByKey()

    def among(self, name: str, rows: Any, world: World | None = None) -> Any:
        """The rows, and with them, under their keys, the ids that they ask for."""
        if not self._along:
            return rows
        asked = rows | f"asked by {name}" >> beam.ParDo(_Ask(self._context, world))
        there = self._ids | f"known to {name}" >> beam.Map(_as_there)
        both = {"asked": asked, "there": there} | f"joined to {name}" >> beam.CoGroupByKey()
        found = both | f"answered to {name}" >> beam.ParDo(_Answer())
        return (rows, found) | f"{name}, with ids" >> beam.Flatten()


class _Ask(beam.DoFn):  # type: ignore[misc]
    """Rows → each id that is asked for, with the key of the row."""

    def __init__(self, context: Context, world: World | None) -> None:
        self._context = context
        self._world = world

    def process(self, element: Keyed) -> Iterator[tuple[bytes, bytes]]:
        key, row = element[0], unpack(element[1])
        asked = ids_for(row, self._context)
        if self._world is not None:
            asked |= ids_for_exploding(row.value, self._world, self._context)
        yield from ((as_key(each), key) for each in asked)


class _Answer(beam.DoFn):  # type: ignore[misc]
    """An id, and who asks for it → a row for each of them, if it is known."""

    def process(self, element: tuple[bytes, dict[str, Iterable[bytes]]]) -> Iterator[Keyed]:
        name, found = element
        if any(True for _ in found["there"]):
            row = pack(Row(Stream.KNOWN, "", name.decode("utf-8", "surrogatepass")))
            yield from ((key, row) for key in found["asked"])


def _alone(element: Keyed) -> tuple[bytes, list[bytes]]:
    return element[0], [element[1]]


def _as_there(char_id: str) -> tuple[bytes, bytes]:
    return as_key(char_id), b""
