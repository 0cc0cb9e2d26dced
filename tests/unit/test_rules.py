"""Which rule matches a file, and whose file it is."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reconcile.core.errors import UsageError
from reconcile.core.names import nfc
from reconcile.core.pattern import Template
from reconcile.core.rules import AssetMap, AssetRule, minimal_prefixes
from tests.kit.strategies import asset_paths, char_ids, keys, known_ids, owned_paths


def rule(asset_type: str, path: str, *, key: str | None = None, field: str | None = None, entry: str = "") -> AssetRule:
    return AssetRule(
        type=asset_type,
        label=asset_type.title(),
        path=Template(path),
        object=Template(key) if key else None,
        field=field,
        entry=Template(entry) if entry else None,
    )


COSPLAY = rule("cosplay", "characters/{char_id}_cosplay.png", field="cosplay_image", entry="primary")
IMAGE = rule("image", "characters/{char_id}.png", field="anime_image", entry="primary")
DANCE = rule("dance", "dances/dance_{char_id}*.mp4", field="dance_video", entry="primary")
VARIANT = rule("variant", "remixes/{char_id}*/**/variants/{variant}.mp4", field="dance_video", entry="{variant}")
LOOSE = rule("loose", "remixes/**/*.mp4", field="deliverable", entry="primary")
MAP = AssetMap((COSPLAY, IMAGE, DANCE, VARIANT, LOOSE))

RENAMED = AssetMap(
    (
        rule("image", "characters/{char_id}.png", key="img/{char_id}/anime.png"),
        rule("dance", "dances/dance_{char_id}*.mp4", key="video/{char_id}*/dance.mp4"),
        rule("take", "takes/{day}/**/{char_id}_*.mp4", key="takes/**/{char_id}/{day}/*.mp4"),
        rule("notes", "notes/**/*.txt"),
    )
)


@pytest.mark.parametrize(
    ("path", "known", "char_id"),
    [
        pytest.param("dances/dance_rem.mp4", {"rem"}, "rem", id="ends at the dot"),
        pytest.param("dances/dance_rem_01.mp4", {"rem"}, "rem", id="ends at an underscore"),
        pytest.param("dances/dance_rem-01.mp4", {"rem"}, "rem", id="ends at a dash"),
        pytest.param("dances/dance_rem 01.mp4", {"rem"}, "rem", id="ends at a blank"),
        pytest.param("dances/dance_rem_2_01.mp4", {"rem", "rem_2"}, "rem_2", id="the longest wins"),
        pytest.param("dances/dance_rem_20.mp4", {"rem", "rem_2"}, "rem", id="the longest that ends at a boundary"),
        pytest.param("dances/dance_remi_1.mp4", {"rem", "remi"}, "remi", id="no boundary within a name"),
        pytest.param("dances/dance_rem_2.mp4", {"rem", "rem_2"}, "rem_2", id="a prefix of another"),
        pytest.param("dances/dance_v1.5_x.mp4", {"v1", "v1.5"}, "v1.5", id="a dot in an id"),
        pytest.param("dances/dance_ai-chan-01.mp4", {"ai", "ai-chan"}, "ai-chan", id="a dash in an id"),
        pytest.param("dances/dance_zero two_1.mp4", {"zero", "zero two"}, "zero two", id="a blank in an id"),
        pytest.param("dances/dance_[kpop]_1.mp4", {"[kpop]"}, "[kpop]", id="brackets in an id"),
        pytest.param("remixes/rem_neon/a/variants/x.mp4", {"rem", "neon"}, "rem", id="the folder says it"),
    ],
)
def test_a_known_id_that_ends_at_a_boundary_owns_the_file(path: str, known: set[str], char_id: str) -> None:
    reading = MAP.read(path, known)
    assert reading is not None
    assert (reading.characters, reading.char_id) == ((char_id,), char_id)


@pytest.mark.parametrize(
    "path", ["dances/dance_remi.mp4", "dances/dance_Rem.mp4", "dances/dance_re.mp4", "dances/dance_arem.mp4"]
)
def test_an_unknown_id_is_no_owner_but_the_file_is_taken(path: str) -> None:
    reading = MAP.read(path, {"rem"})
    assert reading is not None
    assert (reading.rule, reading.characters, reading.char_id) == (DANCE, (), None)


def test_an_unknown_id_is_guessed_as_the_longest_that_fits() -> None:
    reading = MAP.read("dances/dance_new_girl_v1.mp4", set())
    assert reading is not None
    assert reading.captures["char_id"] == "new_girl_v1"


def test_a_path_without_an_id_says_nobody() -> None:
    reading = MAP.read("remixes/a/b.mp4", {"a"})
    assert reading is not None
    assert (reading.rule, reading.characters, reading.char_id) == (LOOSE, (), None)


def test_a_path_that_no_rule_takes_has_no_reading() -> None:
    assert MAP.read("remixes/a/b.txt", {"a"}) is None
    assert MAP.first_match("remixes/a/b.txt") is None


def test_the_first_rule_that_matches_wins() -> None:
    reading = MAP.read("remixes/rem_1/variants/x.mp4", {"rem"})
    assert reading is not None
    assert reading.rule is VARIANT


def test_a_rule_that_yields_a_known_id_beats_an_earlier_one_that_yields_an_unknown_id() -> None:
    reading = AssetMap((IMAGE, COSPLAY)).read("characters/mei_cosplay.png", {"mei"})
    assert reading is not None
    assert (reading.rule, reading.char_id) == (COSPLAY, "mei")


def test_an_id_that_ends_like_a_suffix_of_the_map_is_read_by_the_rule_that_knows_it() -> None:
    reading = MAP.read("characters/mei_cosplay.png", {"mei_cosplay"})
    assert reading is not None
    assert (reading.rule, reading.char_id) == (IMAGE, "mei_cosplay")


def test_a_rule_without_an_id_in_its_path_is_beaten_by_none_behind_it() -> None:
    reading = AssetMap((LOOSE, VARIANT)).read("remixes/rem_1/variants/x.mp4", {"rem"})
    assert reading is not None
    assert (reading.rule, reading.characters) == (LOOSE, ())


def test_two_known_readings_by_two_rules_are_ambiguous() -> None:
    reading = MAP.read("characters/mei_cosplay.png", {"mei", "mei_cosplay"})
    assert reading is not None
    assert (reading.rule, reading.is_ambiguous, reading.char_id) == (COSPLAY, True, None)
    assert reading.characters == ("mei", "mei_cosplay")


def test_two_rules_that_name_the_same_character_are_not_ambiguous() -> None:
    duets = AssetMap((rule("a", "d/{char_id}_x.mp4"), rule("b", "d/{char_id}*.mp4")))
    reading = duets.read("d/rem_x.mp4", {"rem"})
    assert reading is not None
    assert (reading.rule.type, reading.char_id) == ("a", "rem")


DUETS = AssetMap((rule("duet", "duets/*{char_id}*.mp4"),))


@pytest.mark.parametrize(
    ("path", "known", "characters"),
    [
        pytest.param("duets/rem_mei.mp4", {"rem", "mei"}, ("rem", "mei"), id="two names in one"),
        pytest.param("duets/a_b_c.mp4", {"a_b", "b_c"}, ("a_b", "b_c"), id="two that overlap"),
        pytest.param(
            "duets/ai_hoshino_x.mp4", {"ai", "hoshino", "ai_hoshino"}, ("ai_hoshino",), id="one within another"
        ),
        pytest.param("duets/rem_rem.mp4", {"rem"}, ("rem",), id="one name twice"),
        pytest.param("duets/x_rem.mp4", {"rem"}, ("rem",), id="one name"),
    ],
)
def test_two_known_readings_by_one_rule_are_ambiguous(path: str, known: set[str], characters: tuple[str, ...]) -> None:
    reading = DUETS.read(path, known)
    assert reading is not None
    assert sorted(reading.characters) == sorted(characters)
    assert reading.is_ambiguous is (len(characters) > 1)


@given(owned_paths())
def test_a_sure_owner_is_a_known_character_that_the_path_names(case: tuple[str, frozenset[str]]) -> None:
    path, known = case
    reading = MAP.read(path, known)
    assume(reading is not None and reading.char_id is not None)
    assert reading is not None
    assert reading.char_id is not None
    assert reading.char_id in known
    assert nfc(reading.char_id) in nfc(path)
    assert nfc(reading.rule.path.format(reading.captures)) == nfc(path)


@given(asset_paths(), char_ids(), known_ids())
def test_knowing_a_character_whose_name_is_not_in_a_path_changes_nothing(
    path: str, other: str, known: frozenset[str]
) -> None:
    assume(nfc(other) not in nfc(path))
    assert MAP.read(path, known) == MAP.read(path, known | {other})


@given(owned_paths())
def test_every_path_of_a_character_begins_with_a_prefix_of_its_scope(case: tuple[str, frozenset[str]]) -> None:
    path, known = case
    reading = MAP.read(path, known)
    assume(reading is not None)
    assert reading is not None
    assert path.startswith(MAP.path_prefixes([], [reading.rule.type]))
    for char_id in reading.characters:
        assert path.startswith(MAP.path_prefixes([char_id]))
    if reading.char_id is not None:
        assert path.startswith(MAP.path_prefixes([reading.char_id], [reading.rule.type]))


@given(st.sampled_from(("rem", "rem_2", "mei")), st.text("ab_2", max_size=4), st.sampled_from(("", "x/", "x/y/")))
def test_every_key_of_a_character_begins_with_a_prefix_of_its_scope(char_id: str, rest: str, folders: str) -> None:
    known = frozenset({"rem", "rem_2", "mei"})
    for path in (f"dances/dance_{char_id}{rest}.mp4", f"takes/1/{folders}{char_id}_{rest}.mp4"):
        reading = RENAMED.read(path, known)
        assert reading is not None
        if reading.char_id is not None:
            assert RENAMED.key_for(path, known).startswith(RENAMED.key_prefixes([reading.char_id]))


# -- keys --


@given(keys(), known_ids())
def test_without_object_templates_a_key_is_the_local_path(path: str, known: frozenset[str]) -> None:
    assert MAP.keys_are_paths
    assert MAP.key_for(path, known) == path
    assert MAP.path_for(path, known) == path


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("characters/rem.png", "img/rem/anime.png"),
        ("dances/dance_rem_2_01.mp4", "video/rem_2_01/dance.mp4"),
        ("takes/monday/a/b/rem_x.mp4", "takes/a/b/rem/monday/x.mp4"),
        ("takes/monday/rem_.mp4", "takes/rem/monday/.mp4"),
        ("notes/a/b.txt", "notes/a/b.txt"),
        ("nobody/takes/this.txt", "nobody/takes/this.txt"),
    ],
)
def test_an_object_template_gives_the_key_and_leads_back(path: str, key: str) -> None:
    known = frozenset({"rem", "rem_2"})
    reading = RENAMED.read(path, known)
    assert RENAMED.key_for(path, known) == key
    assert RENAMED.path_for(key, known) == nfc(path)
    assert RENAMED.path_of(key, reading.rule.type if reading else None) == (path if reading else None)


@given(asset_paths(), known_ids())
def test_key_path_and_key_again(path: str, known: frozenset[str]) -> None:
    reading = RENAMED.read(path, known)
    key = RENAMED.key_for(path, known)
    assert nfc(RENAMED.path_for(key, known) or "") == nfc(path)
    assert reading is None or nfc(RENAMED.path_of(key, reading.rule.type) or "") == nfc(path)


def test_a_key_that_a_rule_would_have_put_elsewhere_has_no_local_path() -> None:
    assert RENAMED.path_for("characters/rem.png", {"rem"}) is None


CLIMBING = AssetMap((rule("x", "{a}/{b}/y.mp4", key="{a}-{b}.mp4"),))


@pytest.mark.parametrize("key", ["..-...mp4", ".-..mp4", "a-...mp4"])
def test_no_object_name_leads_to_a_local_path_that_climbs(key: str) -> None:
    assert CLIMBING.path_for(key, ()) is None or ".." not in str(CLIMBING.path_for(key, ())).split("/")
    assert CLIMBING.path_of(key, "x") is None


@pytest.mark.parametrize("key", ["../x.png", "/etc/x.png", "a//b.png", "a/../b.png", "a/./b.png", "folder/", "", "."])
def test_an_object_whose_name_is_no_path_below_the_root_has_no_local_path(key: str) -> None:
    assert MAP.path_for(key, ()) is None
    assert RENAMED.path_for(key, ()) is None


def test_a_key_of_no_rule_or_of_another_rule_has_no_path() -> None:
    assert MAP.path_of("characters/rem.png", None) is None
    assert MAP.path_of("characters/rem.png", "nothing") is None
    assert MAP.path_of("characters/rem.png", "dance") is None
    assert MAP.path_of("characters/rem.png", "image") == "characters/rem.png"


# -- the small questions --


def test_the_entry_is_a_literal_or_made_of_what_the_path_holds() -> None:
    reading = MAP.read("remixes/rem_1/variants/neon.mp4", {"rem"})
    assert reading is not None
    assert reading.entry_for("rem") == "neon"
    image = MAP.read("characters/rem.png", {"rem"})
    assert image is not None
    assert image.entry_for("rem") == "primary"


def test_an_entry_may_name_the_owner_where_the_path_does_not() -> None:
    loose = AssetMap((rule("loose", "mixes/*.mp4", field="x", entry="of {char_id}"),))
    reading = loose.read("mixes/1.mp4", ())
    assert reading is not None
    assert reading.entry_for("rem") == "of rem"


def test_a_rule_without_a_field_has_no_entry() -> None:
    reading = AssetMap((rule("a", "a.png"),)).read("a.png", ())
    assert reading is not None
    assert reading.entry_for("rem") is None


def test_the_fields_are_those_that_rules_write() -> None:
    fields = AssetMap((*MAP.rules, rule("plain", "x/*.txt"))).fields
    assert fields == {"cosplay_image", "anime_image", "dance_video", "deliverable"}


def test_a_rule_is_found_by_its_type() -> None:
    assert MAP.rule("dance") is DANCE
    assert MAP.rule("Dance") is None


@pytest.mark.parametrize(
    ("path", "char_id"),
    [
        ("characters/ai_hoshino.png", "ai_hoshino"),
        ("characters/a.b.png", "a.b"),
        ("characters/mei_cosplay.png", None),
        ("dances/dance_rem.mp4", None),
        ("remixes/x/y.mp4", None),
        ("nothing", None),
    ],
)
def test_only_a_whole_name_of_the_first_rule_says_an_id(path: str, char_id: str | None) -> None:
    assert MAP.character_in_name(path) == char_id


def test_whole_names_lie_below_their_own_prefixes() -> None:
    assert MAP.whole_name_prefixes() == ("characters/",)
    assert MAP.whole_name_prefixes("rem") == ("characters/rem",)
    folders = AssetMap((rule("a", "r/*/{char_id}/x.mp4"),))
    assert folders.whole_name_prefixes("rem") == ("r/",)


def test_prefixes_for_everything_are_those_of_the_rules() -> None:
    assert MAP.path_prefixes([]) == ("characters/", "dances/dance_", "remixes/")
    assert MAP.path_prefixes(["rem"], ["dance", "variant"]) == ("dances/dance_rem", "remixes/rem")
    assert MAP.path_prefixes(["rem", "rem_2"], ["dance"]) == ("dances/dance_rem",)
    assert RENAMED.key_prefixes(["rem"], ["image"]) == ("img/rem/anime.png",)


@given(st.lists(st.text("ab/", max_size=4), max_size=6), st.text("ab/", max_size=6))
def test_minimal_prefixes_take_the_same_names_and_none_covers_another(prefixes: list[str], name: str) -> None:
    least = minimal_prefixes(prefixes)
    assert name.startswith(least) == name.startswith(tuple(prefixes))
    assert not any(a != b and a.startswith(b) for a in least for b in least)
    assert list(least) == sorted(least)


def test_a_type_goes_by_its_name_an_alias_or_its_label_in_any_case() -> None:
    asset_map = AssetMap(
        (
            AssetRule("image", "Anime Image", Template("{char_id}.png"), aliases=("picture", "video")),
            AssetRule("video", "Picture", Template("{char_id}.mp4")),
        )
    )
    called = {name: asset_map.type_called(name) for name in ("image", "ANIME image", "Picture", "video", "Video")}
    assert called == {"image": "image", "ANIME image": "image", "Picture": "image", "video": "video", "Video": "image"}
    with pytest.raises(UsageError, match="no rule has the asset type 'pictures'") as refused:
        asset_map.type_called("pictures")
    assert refused.value.hint == "did you mean 'image'? the types are image, video"
    with pytest.raises(UsageError) as short:
        asset_map.type_called("anim")
    assert short.value.hint == "did you mean 'image'? the types are image, video"


TEMPLATES = st.sampled_from(
    [
        *("characters/{char_id}.png", "characters/{char_id}/**/x.png", "char*/x.png", "{char_id}/x.png", "**/x.png"),
        *(
            "dances/x.mp4",
            "dances/*.mp4",
            "dance*/{char_id}.mp4",
            "dances.mp4",
            "*",
            "が/{char_id}.png",
            "{char_id}.png",
        ),
    ]
)
PATHS = st.lists(
    st.sampled_from(
        ["characters", "dances", "dances.mp4", "ai", "x.png", "x.mp4", "ai.png", "ai.mp4", "が", "か\u3099"]
    ),
    min_size=1,
    max_size=3,
).map("/".join)


@given(st.lists(TEMPLATES, min_size=1, unique=True), PATHS)
def test_a_rule_that_could_not_match_below_the_top_folder_is_the_only_one_left_out(
    sources: list[str], path: str
) -> None:
    rules = tuple(rule(str(at), each) for at, each in enumerate(sources))
    matching = [each for each in rules if each.path.takes(path) and each.guess(path) is not None]
    assert AssetMap(rules).first_match(path) is (matching[0] if matching else None)
