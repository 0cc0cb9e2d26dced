"""The users' own map: rules/asset_map.toml."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.config.settings import load, template
from reconcile.core.rules import AssetMap
from tests.kit.strategies import owned_paths

ROOT = Path(__file__).parents[2]
MAP = load(ROOT, environ={}).asset_map
KNOWN = frozenset({"ai_hoshino", "ai", "rem", "rem_2", "remi", "mei", "mei_cosplay", "zero_two"})
BASE = "remixes/ai_hoshino_neon"

EACH_TYPE = {
    "anime_image": "characters/ai_hoshino.png",
    "cosplay_image": "characters/ai_hoshino_cosplay.png",
    "dance_video": "dances/dance_ai_hoshino_01.mp4",
    "remix_video": f"{BASE}/REMIX_ai_hoshino.mp4",
    "variant_video": f"{BASE}/variants/slow motion.mp4",
    "kpop_version": f"{BASE}/result/[kpop]_REMIX_ai_hoshino.mp4",
    "orig_version": f"{BASE}/result/[orig]_REMIX_ai_hoshino.mp4",
    "watermarked": f"{BASE}/result/REMIX_ai_hoshino_watermarked.mp4",
    "ai_music": f"{BASE}/result/generated_kpop_music.mp3",
    "icon": f"{BASE}/result/icon_star.png",
}
FIELDS = {
    "anime_image": ("Anime Image", "anime_image", "primary"),
    "cosplay_image": ("Cosplay Image", "cosplay_image", "primary"),
    "dance_video": ("Dance Video", "dance_video", "primary"),
    "remix_video": ("Remix Video", "deliverable", "primary"),
    "variant_video": ("Variant Video", "dance_video", "slow motion"),
    "kpop_version": ("K-Pop Version", "kpop_video", "primary"),
    "orig_version": ("Orig Version", "orig_video", "primary"),
    "watermarked": ("Watermarked", "watermarked", "primary"),
    "ai_music": ("AI Music", "ai_music", "primary"),
    "icon": ("Icons", "icon", "primary"),
}


def taken_by(path: str, known: frozenset[str] = KNOWN, asset_map: AssetMap = MAP) -> tuple[str, str | None]:
    reading = asset_map.read(path, known)
    return ("", None) if reading is None else (reading.rule.type, reading.char_id)


def test_the_projects_rules_are_those_that_init_writes() -> None:
    written = (ROOT / "rules" / "asset_map.toml").read_bytes()
    assert written == (ROOT / "reconcile" / "asset_map.toml").read_bytes()
    assert written.decode() == template()


def test_every_asset_type_of_the_map_has_its_row_here() -> None:
    assert {rule.type for rule in MAP.rules} == set(EACH_TYPE)


@pytest.mark.parametrize("asset_type", EACH_TYPE)
def test_each_asset_type_has_its_path_its_field_and_its_key(asset_type: str) -> None:
    path = EACH_TYPE[asset_type]
    reading = MAP.read(path, KNOWN)
    assert reading is not None
    label, field, entry = FIELDS[asset_type]
    assert (reading.rule.type, reading.char_id) == (asset_type, "ai_hoshino")
    assert (reading.rule.label, reading.rule.field, reading.entry_for("ai_hoshino")) == (label, field, entry)
    assert MAP.key_for(path, KNOWN) == path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(f"{BASE}/result/[kpop]_x_watermarked.mp4", ("watermarked", "ai_hoshino"), id="watermarked kpop"),
        pytest.param(f"{BASE}/variants/neon_watermarked.mp4", ("watermarked", "ai_hoshino"), id="watermarked variant"),
        pytest.param(f"{BASE}/REMIX_x_watermarked.mp4", ("watermarked", "ai_hoshino"), id="watermarked remix"),
        pytest.param(f"{BASE}/result/k_REMIX.mp4", ("", None), id="[kpop] is not a character class"),
        pytest.param(f"{BASE}/result/kpop_REMIX.mp4", ("", None), id="[kpop] is literal"),
        pytest.param(f"{BASE}/a/b/result/[kpop]_x.mp4", ("kpop_version", "ai_hoshino"), id="deeper"),
        pytest.param(f"{BASE}/result/other_music.mp3", ("", None), id="other music"),
        pytest.param(f"{BASE}/generated_kpop_music.mp3", ("", None), id="music outside result"),
        pytest.param(f"{BASE}/result/sticker.png", ("", None), id="an image that is not an icon"),
        pytest.param("characters/ai_hoshino.jpg", ("", None), id="another ending"),
        pytest.param("Characters/ai_hoshino.png", ("", None), id="another case"),
        pytest.param("characters/x/ai_hoshino.png", ("", None), id="a folder too many"),
        pytest.param("characters/mei_cosplay.png", ("cosplay_image", None), id="two readings: nobody's"),
        pytest.param("characters/rem_2.png", ("anime_image", "rem_2"), id="an id that another begins"),
        pytest.param("characters/rem_2_cosplay.png", ("cosplay_image", "rem_2"), id="its cosplay"),
        pytest.param("characters/remi.png", ("anime_image", "remi"), id="an id that goes on without a boundary"),
        pytest.param("dances/dance_rem_2.mp4", ("dance_video", "rem_2"), id="the longest id"),
        pytest.param("dances/dance_rem_3.mp4", ("dance_video", "rem"), id="a take, not an id"),
        pytest.param("dances/dance_rem_cosplay.mp4", ("dance_video", "rem"), id="a suffix of another rule"),
        pytest.param("dances/dance_remix.mp4", ("dance_video", None), id="nobody known"),
        pytest.param("dances/rem.mp4", ("", None), id="no dance_"),
        pytest.param("remixes/rem/REMIX_x.mp4", ("remix_video", "rem"), id="a folder that is the id"),
        pytest.param("remixes/rem_2/variants/x.mp4", ("variant_video", "rem_2"), id="the folder's longest id"),
        pytest.param("remixes/REMIX_rem.mp4", ("", None), id="no folder of its own"),
        pytest.param("remixes/club/result/generated_kpop_music.mp3", ("ai_music", None), id="a name alone says nobody"),
    ],
)
def test_the_traps_of_the_users_names(path: str, expected: tuple[str, str | None]) -> None:
    assert taken_by(path) == expected


def test_a_cosplay_image_is_no_anime_image_of_somebody_unknown() -> None:
    assert taken_by("characters/rem_cosplay.png", frozenset()) == ("cosplay_image", None)
    assert taken_by("characters/rem_cosplay.png", frozenset({"rem"})) == ("cosplay_image", "rem")
    assert taken_by("characters/rem_cosplay.png", frozenset({"rem_cosplay"})) == ("anime_image", "rem_cosplay")


def test_variants_go_into_maps_of_their_own() -> None:
    readings = [MAP.read(f"{BASE}/variants/{name}.mp4", KNOWN) for name in ("neon", "slow motion", "[v2]")]
    assert [each.entry_for("ai_hoshino") for each in readings if each] == ["neon", "slow motion", "[v2]"]


def test_only_an_anime_image_says_that_a_character_is_there() -> None:
    assert MAP.character_in_name("characters/new_girl.png") == "new_girl"
    others = [path for asset_type, path in EACH_TYPE.items() if asset_type != "anime_image"]
    assert [MAP.character_in_name(path) for path in others] == [None] * len(others)


@pytest.mark.parametrize("known", [KNOWN, frozenset[str]()], ids=["known", "unknown"])
def test_no_rule_hides_another(known: frozenset[str]) -> None:
    assert {taken_by(path, known)[0] for path in EACH_TYPE.values()} == set(EACH_TYPE)


@given(st.randoms(use_true_random=False))
def test_the_users_order_is_what_tells_overlapping_rules_apart(shuffler: random.Random) -> None:
    rules = list(MAP.rules)
    shuffler.shuffle(rules)
    shuffled = AssetMap(tuple(rules))
    apart = {kind: path for kind, path in EACH_TYPE.items() if kind not in ("cosplay_image", "watermarked")}
    assert {kind: taken_by(path, KNOWN, shuffled)[0] for kind, path in apart.items()} == {kind: kind for kind in apart}


@given(owned_paths())
def test_a_characters_paths_begin_with_what_its_scope_reads(case: tuple[str, frozenset[str]]) -> None:
    path, known = case
    reading = MAP.read(path, known)
    if reading is not None and reading.char_id is not None:
        assert path.startswith(MAP.path_prefixes(reading.characters))
        assert path.startswith(MAP.key_prefixes(reading.characters))
