"""A new record is the pipeline's own document with its paths put right, and nothing else, whoever wrote the plan."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from reconcile.core.changes import CreateRecord, Need
from reconcile.core.derived import is_derived
from reconcile.core.rows import Document
from reconcile.core.rules import AssetMap
from reconcile.core.way import Entries
from tests.kit.world import World, rule, titled, users_settings, windows
from tests.kit.worlds import Pick, spec_of

KEY = "characters/rem.png"
KPOP = "remixes/rem_x/result/[kpop]_x.mp4"
MAP = users_settings().asset_map
BUCKET = users_settings().bucket
URI, KPOP_URI, OTHER = BUCKET.uri(KEY), BUCKET.uri(KPOP), BUCKET.uri("characters/ai_hoshino.png")
SOURCE: dict[str, Any] = {
    "name": "Rem",
    "age": 19,
    "scans": [windows("characters/gone.png"), "front", 7],
    "portrait": windows(KEY),
    "meta": {"deep": {"number": 1.5}},
    "assets": [titled(anime_image=windows(KEY), take=3, note="x"), titled("neon", dance_video=None)],
}
MADE: dict[str, Any] = {
    "name": "Rem",
    "age": 19,
    "scans": ["front", 7],
    "portrait": URI,
    "meta": {"deep": {"number": 1.5}},
    "assets": [titled(anime_image=URI, take=3, note="x", kpop_video=KPOP_URI), titled("neon", dance_video=None)],
}


def derived(
    made: dict[str, Any],
    source: dict[str, Any] = SOURCE,
    keys: Iterable[str] = (KEY, KPOP),
    asset_map: AssetMap = MAP,
) -> bool:
    needs = [Need(key, None) for key in keys]
    return is_derived(
        made,
        source,
        needs,
        char_id="rem",
        entries=Entries(("assets",), "title"),
        bucket=BUCKET,
        asset_map=asset_map,
    )


def test_what_the_creation_of_records_gives_is_derived() -> None:
    made = 0
    for seed in range(120):
        with spec_of(Pick(Random(seed).randrange)).build() as world:
            made += _all_derived(world)
    assert made > 30


def _all_derived(world: World) -> int:
    creations = [change for change in world.plan().actions if isinstance(change, CreateRecord)]
    settings = world.settings
    store = world.local_db
    documents: dict[str, Document] = {} if store is None else {each.id: each for each in store.read()}
    for change in creations:
        char_id = change.char_id or ""
        assert is_derived(
            change.fields,
            documents[char_id].fields,
            change.needs,
            char_id=char_id,
            entries=settings.entries,
            bucket=settings.bucket,
            asset_map=settings.asset_map,
        ), (change.fields, documents[char_id].fields)
    return len(creations)


def changed(**fields: Any) -> dict[str, Any]:
    return {**copy.deepcopy(MADE), **fields}


def entry(**fields: Any) -> list[Any]:
    first, second = copy.deepcopy(MADE["assets"])
    return [{**first, **fields}, second]


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(MADE, id="as it is made"),
        pytest.param(changed(assets=entry(anime_image="x") and entry()), id="again"),
        pytest.param({name: value for name, value in MADE.items() if name != "portrait"}, id="a path left out"),
        pytest.param(
            changed(assets=[{"title": "primary", "take": 3, "note": "x"}, titled("neon")]), id="fields left out"
        ),
        pytest.param(changed(assets=[*entry(), {"title": "primary", "kpop_video": KPOP_URI}]), id="a map of a rule's"),
    ],
)
def test_what_may_be_made(made: dict[str, Any]) -> None:
    assert derived(made)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(changed(age=20), id="another number"),
        pytest.param(changed(age=19.0), id="a number of another type"),
        pytest.param(changed(age=True), id="a truth for a number"),
        pytest.param(changed(name="Ram"), id="another text"),
        pytest.param(changed(name="front"), id="a text of another place"),
        pytest.param(changed(admin=True), id="another field"),
        pytest.param(changed(url=URI), id="a URI in another field"),
        pytest.param(changed(name=OTHER), id="a URI that is not needed"),
        pytest.param(changed(meta={"deep": {"number": 1.5, "more": 1}}), id="more at depth"),
        pytest.param(changed(meta={"deep": {"number": 2.5}}), id="another number at depth"),
        pytest.param(changed(meta={}), id="a map left out"),
        pytest.param(changed(scans=["front"]), id="a number left out of a list"),
        pytest.param(changed(scans=[7, "front"]), id="another order"),
        pytest.param(changed(scans=["front", 7, "front"]), id="more in a list"),
        pytest.param({name: value for name, value in MADE.items() if name != "age"}, id="a number left out"),
        pytest.param({name: value for name, value in MADE.items() if name != "assets"}, id="no maps"),
        pytest.param(changed(assets=MADE["assets"][:1]), id="a map less"),
        pytest.param(changed(assets=MADE["assets"][::-1]), id="maps in another order"),
        pytest.param(changed(assets={}), id="maps that are no list"),
        pytest.param(changed(assets=entry(title="evil")), id="another title"),
        pytest.param(changed(assets=entry(take=4)), id="another number in a map"),
        pytest.param(changed(assets=entry(evil="x")), id="another field in a map"),
        pytest.param(changed(assets=entry(evil=URI)), id="a URI in a field that no rule writes"),
        pytest.param(changed(assets=entry(icon=OTHER)), id="a URI in a map that is not needed"),
        pytest.param(changed(assets=entry(icon="x")), id="a text in a field of a rule"),
        pytest.param(changed(assets=entry(take=URI)), id="a URI in the place of a number"),
        pytest.param(changed(assets=[*entry(), {"title": "evil", "kpop_video": KPOP_URI}]), id="a title of one's own"),
        pytest.param(changed(assets=[*entry(), {"title": "primary", "icon": KPOP_URI}]), id="another rule's field"),
        pytest.param(changed(assets=[*entry(), {"title": "primary"}]), id="a map of nothing"),
        pytest.param(changed(assets=[*entry(), "x"]), id="a text among the maps"),
        pytest.param(changed(assets=[*entry(), {"title": "primary", "kpop_video": []}]), id="an empty list"),
    ],
)
def test_what_no_plan_may_make(made: dict[str, Any]) -> None:
    assert not derived(made)


def test_a_title_comes_from_the_rules_template() -> None:
    one = rule("v", "variants/{char_id}_{variant}.mp4", "dance_video", entry="{variant}")
    asset_map = type(MAP)((one,))
    key = "variants/rem_2_neon.mp4"
    for title, right in (("2_neon", True), ("neon", True), ("rem", False), ("rem_2_neon", False)):
        made = {"assets": [{"title": title, "dance_video": BUCKET.uri(key)}]}
        assert derived(made, {}, [key], asset_map) is right
