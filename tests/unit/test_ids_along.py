"""Which ids the stages ask for: with these alone, known or not, each stage gives what it gives with all."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.adapters.sorting import Spill
from reconcile.core.asking import IdsAlong, ids_for, ids_for_exploding
from reconcile.core.context import Context
from reconcile.core.events import silent
from reconcile.core.notes import Note
from reconcile.core.plan import Scope
from reconcile.core.rows import Group, Row, Stream
from reconcile.core.rows import World as Place
from reconcile.core.stages import document_stage, explode_stage, key_stage
from reconcile.pipeline.inventory import Inventory
from tests.kit.engines import DictionaryEngine
from tests.kit.search import sparingly
from tests.kit.world import World, rule
from tests.kit.worlds import Spec, ids_of, specs


def narrowed(context: Context, asked: set[str]) -> Context:
    """The constants with the answers to these questions alone."""
    along = IdsAlong.of(context.known_ids & asked, asked)
    return msgspec.structs.replace(context, known_ids=along)


def asked_by(group: Group, key: str, context: Context) -> set[str]:
    return set().union(*(ids_for(Row(stream, key, value), context) for stream in group for value in group[stream]))


def check(world: World) -> int:
    """Judges a world with all ids, and with those that are asked for; gives how many those are."""
    answered = 0
    with Spill(1 << 24, Path) as spill:
        seen = Inventory(world, Scope(), silent, spill)
        context = seen.context
        documents = [(each, Place.RECORDS) for each in seen.roster.documents]
        documents += [(each, Place.LOCAL_DB) for each in seen.roster.local_documents]
        for document, place in documents:
            asked = ids_for_exploding(document, place, context)
            answered += len(asked & context.known_ids)
            whole = list(explode_stage(document, place, context))
            assert list(explode_stage(document, place, narrowed(context, asked))) == whole
        engine, passed = DictionaryEngine(Random(1)), list[Row]()
        for key, group in engine.group(seen.rows()):
            asked = asked_by(group, key, context)
            answered += len(asked & context.known_ids)
            whole = list(key_stage(group, context))
            assert list(key_stage(group, narrowed(context, asked))) == whole
            for path in [row.path for row in group.get(Stream.KEY, ()) if row.local is not None]:
                alone = narrowed(context, context.asset_map.ids_in(path)).known_ids
                assert world.asset_map.key_for(path, alone) == world.asset_map.key_for(path, context.known_ids)
            passed += [row for row in whole if row.stream in (Stream.ANSWER, Stream.CLAIM)]
        for char_id, group in engine.group([*passed, *seen.records(), *seen.local_records()]):
            asked = asked_by(group, char_id, seen.covered)
            whole = list(document_stage(char_id, group, seen.covered))
            assert list(document_stage(char_id, group, narrowed(seen.covered, asked))) == whole
    return answered


@sparingly(40)
@given(specs())
def test_a_stage_asks_for_no_other_id_and_decides_the_same(spec: Spec) -> None:
    with spec.build() as world:
        check(world)


@sparingly(40)
@given(specs(), st.data())
def test_what_workflows_noted_asks_for_its_characters_too(spec: Spec, data: Any) -> None:
    paths = sorted(thing.key for thing in spec.things if thing.local is not None)
    ids = [*ids_of(spec), "nobody", "cafe\u0301"]
    if not paths:
        return
    note = st.builds(
        Note,
        st.sampled_from(paths),
        st.none() | st.sampled_from(ids),
        st.none() | st.sampled_from(["image", "dance"]),
        st.sampled_from([(), (("primary", "anime_image"),)]),
    )
    with spec.build() as world:
        world.note(*data.draw(st.lists(note, max_size=3, unique_by=lambda each: each.path)))
        check(world)


def test_a_character_is_asked_for_in_each_form_of_its_name() -> None:
    with World([rule("image", "characters/{char_id}.png", "anime_image", object_="i/{char_id}.png")]) as world:
        world.file("characters/cafe\u0301.png")
        world.record("caf\u00e9")
        assert check(world) == 1


def test_an_id_that_nobody_asked_for_is_no_unknown_one() -> None:
    known = IdsAlong.of({"rem"}, {"rem", "ram"})
    assert ("rem" in known, "ram" in known) == (True, False)
    with pytest.raises(LookupError, match="remi"):
        _ = "remi" in known


def test_what_is_asked_for_grows_with_the_path_and_not_with_the_ids() -> None:
    groups: dict[int, set[str]] = defaultdict(set)
    with World([rule("dance", "dances/dance_{char_id}*.mp4", "dance_video")]) as world:
        for count in (1, 100):
            for number in range(count):
                world.record(f"c{number}")
            groups[count] = world.asset_map.ids_in("dances/dance_c1_two_three.mp4")
    assert groups[1] == groups[100] == {"c1", "c1_two", "c1_two_three", "c1_two_three.mp4"}
