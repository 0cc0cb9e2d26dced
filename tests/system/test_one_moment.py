"""A plan of records that somebody writes while they are read: it has them all as they were at one moment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reconcile.adapters.firestore.paging import PAGE
from reconcile.core.moment import Moment
from reconcile.core.report import OutcomeKind
from reconcile.core.rows import Document
from tests.conformance.record_stores import ENTRIES, firestore_at
from tests.kit.world import World, rule, sets, titled, windows

IDS = [f"c{number:04}" for number in range(PAGE + 20)]
FIRST, LAST = IDS[0], IDS[-1]


class Disturbed:
    """A database in which somebody else writes after the first page has been read."""

    def __init__(self, inner: Any, disturb: Callable[[], object]) -> None:
        self._inner = inner
        self._disturb = disturb

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def read(self, ids: Collection[str] | None = None, *, at: Moment | None = None) -> Iterator[Document]:
        for count, document in enumerate(self._inner.read(ids, at=at)):
            yield document
            if count == 0 and ids is None:
                self._disturb()


@pytest.mark.parametrize("where", ["server", pytest.param("emulator", marks=pytest.mark.emulator)])
def test_a_plan_has_all_records_as_of_one_moment(request: pytest.FixtureRequest, where: str) -> None:
    found = request.getfixturevalue(f"firestore_{where}")
    rules = [rule("image", "characters/{char_id}.png", "anime_image")]
    with firestore_at(found if where == "emulator" else found.address) as (store, hand), World(rules) as world:
        paths = {char_id: f"characters/{char_id}.png" for char_id in IDS}
        uris = {char_id: world.both(path) for char_id, path in paths.items()}

        def create(char_id: str) -> None:
            store.create(char_id, {"name": char_id, ENTRIES: [titled(anime_image=windows(paths[char_id]))]})

        def disturb() -> None:
            for char_id in (FIRST, LAST):
                hand.put(char_id, {"name": "somebody", ENTRIES: [titled(anime_image=uris[char_id])]})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(create, IDS))
        world.records.close()
        world.records = Disturbed(store, disturb)  # type: ignore[assignment]
        plan = world.plan()
        assert sets(plan) == {(char_id, "primary", "anime_image"): uris[char_id] for char_id in IDS}
        assert plan.records_as_of is not None

        world.records = store  # type: ignore[assignment]
        outcomes = {each.document: each.outcome for each in world.apply(plan).outcomes}
        changed = [f"characters/{char_id}" for char_id in (FIRST, LAST)]
        assert {each for each, outcome in outcomes.items() if outcome is not OutcomeKind.APPLIED} == set(changed)
        assert [hand.fields(char_id) for char_id in (FIRST, LAST)] == [
            {"name": "somebody", ENTRIES: [titled(anime_image=uris[char_id])]} for char_id in (FIRST, LAST)
        ]
        assert world.plan().actions == ()
