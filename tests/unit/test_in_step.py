"""What is in step beyond doubt: each fact by itself, held against the stages."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.adapters.sorting import Spill
from reconcile.core.context import Context, Replacing
from reconcile.core.in_step import PlainRecords, QuietKeys, as_candidate
from reconcile.core.media import content_type
from reconcile.core.names import BucketRoot, fold
from reconcile.core.notes import NotedMap
from reconcile.core.paths import root_forms
from reconcile.core.plan import Scope
from reconcile.core.rows import (
    Agreed,
    Answer,
    Candidate,
    Coverage,
    Document,
    FileProblem,
    Group,
    KeyRow,
    LocalFile,
    Outlook,
    RemoteObject,
    Row,
    Slot,
    Stream,
    World,
)
from reconcile.core.rules import AssetMap
from reconcile.core.stages import document_stage, explode, key_stage
from reconcile.core.way import Entries
from reconcile.pipeline.roster import ids_stand_first
from reconcile.pipeline.shortcut import MOST_LOOSE, Count, Shortcut, as_row
from tests.kit.search import thoroughly
from tests.kit.steady import NUMBERED, STEADY
from tests.kit.strategies import BUCKET, ROOTS
from tests.kit.world import users_settings
from tests.kit.worlds import INDEX

CONTEXT = Context(
    asset_map=users_settings().asset_map,
    bucket=BUCKET,
    collection="characters",
    entries=Entries(("assets",), "title"),
    roots=tuple(map(root_forms, ROOTS)),
    known_ids=frozenset({"ann"}),
)
INDEXED = msgspec.structs.replace(CONTEXT, index=INDEX)
IMAGE, DANCE = "characters/ann.png", "dances/dance_ann_01.mp4"
ONE, TWO = "AAAAAA==", "BBBBBB=="

# -- a key --

FILE = LocalFile(IMAGE, 5, 1, ONE)
OBJECT = RemoteObject(IMAGE, 5, 7, ONE, "image/png", metageneration=1)
STATE = Agreed(IMAGE, 5, ONE, 7)
NAMED = Candidate(
    IMAGE, World.RECORDS, "ann", Slot(0, "primary", "anime_image"), 0, exact=True, windows=False, sure=True
)


CHANGES: tuple[tuple[str, str, Any], ...] = (
    *(("file", "size", 4), ("file", "crc32c", TWO), ("file", "crc32c", None), ("file", "twin", "characters/ANN.png")),
    *(("file", "problem", each) for each in FileProblem),
    *(("object", "size", 4), ("object", "crc32c", TWO), ("object", "crc32c", None), ("object", "generation", 8)),
    *(("object", "encoding", "gzip"), ("object", "content_type", "text/plain"), ("object", "content_type", None)),
    *(("state", "size", 4), ("state", "crc32c", TWO), ("state", "generation", 8)),
    *(("reference", "document", "bo"), ("reference", "document", "ann_2"), ("reference", "world", World.LOCAL_DB)),
    ("reference", "slot", Slot(None, None, "anime_image", at=("anime_image",))),
    *(("reference", "slot", Slot(0, "primary", each)) for each in ("dance_video", "notes")),
    *(("reference", "slot", Slot(0, "neon", "anime_image")), ("reference", "slot", Slot(0, None, "anime_image", 1))),
)
"""What may be otherwise than in a key that is in step."""
KNOWN_IDS = ({"ann"}, {"ann", "bo"}, {"ann", "ann_2"}, {"bo"}, set[str]())


def _quiet(file: LocalFile, found: RemoteObject, state: Agreed, reference: Candidate, context: Context) -> bool:
    quiet = QuietKeys(context.asset_map, context.known_ids)
    return quiet.is_same(file, found, state) and quiet.named(reference) is not None


@pytest.mark.parametrize("known", KNOWN_IDS, ids=lambda ids: str(sorted(ids)))
@pytest.mark.parametrize("replacing", Replacing)
def test_of_a_quiet_key_the_key_stage_makes_an_answer_and_a_count_and_no_more(
    known: set[str], replacing: Replacing
) -> None:
    context = msgspec.structs.replace(CONTEXT, known_ids=frozenset(known), replacing=replacing)
    for changes in itertools.chain.from_iterable(itertools.combinations(CHANGES, count) for count in range(3)):
        rows: dict[str, Any] = {"file": FILE, "object": OBJECT, "state": STATE, "reference": NAMED}
        for side, name, value in changes:
            rows[side] = msgspec.structs.replace(rows[side], **{name: value})
        file, found, state, reference = rows.values()
        if not _quiet(file, found, state, reference, context):
            continue
        row = KeyRow(IMAGE, file.path, file, found, state, local_known=True, remote_known=True)
        group = {Stream.KEY: [row], Stream.REFERENCE: [reference]}
        made = {each.stream: each.value for each in key_stage(group, context)}

        assert made.keys() == {Stream.TALLY, Stream.ANSWER}, changes
        assert made[Stream.ANSWER].outlook is Outlook.THERE
        tally = made[Stream.TALLY]
        assert (tally.asset_type, tally.char_id) == ("anime_image", reference.document)
        assert (tally.local, tally.bucket, tally.named, tally.right, tally.wanted) == (True,) * 5
        assert not tally.pending, changes


def test_a_key_that_is_in_step_is_quiet() -> None:
    assert _quiet(FILE, OBJECT, STATE, NAMED, CONTEXT)


@pytest.mark.parametrize(
    ("side", "name"),
    [
        *(("file", "size"), ("file", "crc32c"), ("object", "size"), ("object", "crc32c"), ("object", "generation")),
        *(("state", "size"), ("state", "crc32c"), ("state", "generation")),
    ],
)
def test_a_key_is_not_quiet_if_one_side_has_another(side: str, name: str) -> None:
    value = TWO if name == "crc32c" else 6
    file, found, state = (
        msgspec.structs.replace(each, **{name: value}) if side == kind else each
        for kind, each in (("file", FILE), ("object", OBJECT), ("state", STATE))
    )
    assert isinstance(file, LocalFile)
    assert isinstance(found, RemoteObject)
    assert isinstance(state, Agreed)
    assert not _quiet(file, found, state, NAMED, CONTEXT)


@pytest.mark.parametrize(
    ("char_id", "field", "position"),
    [("bo", "anime_image", 0), ("ann", "dance_video", 0), ("ann", "anime_image", None)],
)
def test_a_key_is_not_quiet_unless_its_owners_record_names_it_in_its_field(
    char_id: str, field: str, position: int | None
) -> None:
    named = msgspec.structs.replace(NAMED, document=char_id, slot=Slot(position, "primary", field))
    context = msgspec.structs.replace(CONTEXT, known_ids=frozenset({"ann", "bo"}))
    assert not _quiet(FILE, OBJECT, STATE, named, context)


@pytest.mark.parametrize("other", ["ann_2", "ann-x", "ann.v1", "ann neon"])
def test_no_key_is_quiet_of_an_id_with_which_another_begins(other: str) -> None:
    context = msgspec.structs.replace(CONTEXT, known_ids=frozenset({"ann", other}))
    assert not _quiet(FILE, OBJECT, STATE, NAMED, context)
    assert _quiet(FILE, OBJECT, STATE, NAMED, msgspec.structs.replace(context, known_ids=frozenset({"ann", "annx"})))


def _map_of(name: str) -> AssetMap:
    rules = STEADY[name]
    return users_settings().asset_map if rules is None else AssetMap(rules)


IDS_FIRST = [each for each in map(_map_of, STEADY) if ids_stand_first(each)]
READ_IDS = ("ann", "annx", "ann_2", "bo", "bo-x", "rem", "rem_2")


@pytest.mark.parametrize("asset_map", IDS_FIRST)
def test_a_path_is_read_by_the_short_way_as_by_the_long_one_or_not_at_all(asset_map: AssetMap) -> None:
    sets = [frozenset(each) for count in (1, 2) for each in itertools.combinations(READ_IDS, count)]
    paths = {end.format(named) for end in NUMBERED for named in (*READ_IDS, "annxy", "bo.v1", "ann 2")}
    for known in sets:
        quiet = QuietKeys(asset_map, known)
        for path, char_id in itertools.product(sorted(paths), known):
            rule = quiet.read(path, char_id)
            if rule is not None and quiet.read_in(path, char_id, rule.field or "")[1] is not None:
                reading = asset_map.read(path, known)
                assert reading is not None, path
                assert (reading.rule, reading.char_id, reading.characters) == (rule, char_id, (char_id,)), path


@pytest.mark.parametrize("name", ["x.part/REMIX_a.mp4", ".x/REMIX_a.mp4", "._REMIX_a.mp4", "REMIX_a.mp4.part"])
def test_no_leftover_is_quiet(name: str) -> None:
    key = f"remixes/ann/{name}"
    slot = Slot(0, "primary", "deliverable")
    file, state = msgspec.structs.replace(FILE, path=key), msgspec.structs.replace(STATE, key=key)
    found = msgspec.structs.replace(OBJECT, key=key, content_type=content_type(key))
    assert not _quiet(file, found, state, msgspec.structs.replace(NAMED, key=key, slot=slot), CONTEXT)


def _reference(reference: Candidate, **changes: Any) -> Row:
    changed = msgspec.structs.replace(reference, **changes)
    return Row(Stream.REFERENCE, fold(changed.key), changed)


def _shortcut(context: Context, count: Count = lambda _: None) -> Shortcut:
    return Shortcut(context, count, Spill(2**26, Path))


def _skipped(
    shortcut: Shortcut, named: Sequence[Candidate], others: Sequence[Candidate] = (), **sides: Any
) -> Collection[str]:
    """The keys that are skipped if these references may be skipped and others ask too, by the sides of one key."""
    there = {"files": FILE, "objects": OBJECT, "states": STATE} | sides
    files, objects, states = ({} if each is None else {IMAGE: each} for each in there.values())
    quiet = QuietKeys(CONTEXT.asset_map, CONTEXT.known_ids)
    asked = [found for each in named if (found := quiet.named(each)) is not None]
    return shortcut.skipped(
        tuple(files.items()), tuple(objects.items()), states, [(each.key, None) for each in others], asked
    )


def test_a_key_is_skipped_if_its_one_reference_can_mean_no_other_and_no_other_can_mean_it() -> None:
    counted: list[tuple[str, str]] = []
    shortcut = _shortcut(CONTEXT, counted.extend)

    assert set(_skipped(shortcut, [NAMED])) == {IMAGE}
    assert counted == [("anime_image", "ann")]
    assert not _skipped(shortcut, [NAMED, NAMED])
    assert not _skipped(shortcut, [NAMED], [NAMED])
    assert not _skipped(shortcut, [], [NAMED])
    assert not _skipped(shortcut, [])
    assert not _skipped(shortcut, [NAMED], files=None)
    assert not _skipped(shortcut, [NAMED], objects=None)
    assert not _skipped(shortcut, [NAMED], states=None)
    shortcut.note_loose(_reference(NAMED, key=IMAGE.upper(), exact=False, windows=True))
    assert not _skipped(shortcut, [NAMED])
    assert counted == [("anime_image", "ann")]


def test_a_key_is_not_skipped_if_a_text_may_mean_it_in_another_case() -> None:
    key = "remixes/ann/REMIX_a.mp4"
    named = msgspec.structs.replace(NAMED, key=key, slot=Slot(0, "primary", "deliverable"))
    asked = [QuietKeys(CONTEXT.asset_map, CONTEXT.known_ids).named(named)]
    assert asked[0] is not None
    files = [(key, msgspec.structs.replace(FILE, path=key))]
    objects = [(key, msgspec.structs.replace(OBJECT, key=key, content_type=content_type(key)))]
    states = {key: msgspec.structs.replace(STATE, key=key)}
    shortcut = _shortcut(CONTEXT)

    assert set(shortcut.skipped(files, objects, states, [], asked)) == {key}
    shortcut.note_loose(_reference(named, key=key.upper(), exact=False, windows=True))
    assert not shortcut.skipped(files, objects, states, [], asked)


def test_nothing_is_skipped_beside_very_many_loose_references() -> None:
    shortcut = _shortcut(CONTEXT)
    for number in range(MOST_LOOSE + 1):
        shortcut.note_loose(Row(Stream.REFERENCE, str(number), None))

    assert not _skipped(shortcut, [NAMED])
    assert shortcut.judges("ann")  # all are judged


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"scope": Scope(("ann",))}, id="one character"),
        pytest.param({"scope": Scope((), ("anime_image",))}, id="one type"),
        pytest.param({"scope": Scope((), (), (IMAGE,))}, id="one path"),
        pytest.param({"trace": frozenset({IMAGE})}, id="facts of a key"),
        pytest.param({"ids_known": False}, id="characters that are not known"),
        pytest.param({"records": Coverage((), ("bo",), ("bo",))}, id="a record that may not be read"),
        pytest.param({"asset_map": NotedMap.over(CONTEXT.asset_map, [])}, id="notes of workflows"),
    ],
)
def test_the_long_way_is_taken_with(changes: dict[str, Any]) -> None:
    assert Shortcut.of(msgspec.structs.replace(CONTEXT, **changes), lambda _: None, Spill(0, Path)) is None


@pytest.mark.parametrize("rules", ["tangled", "templates"])
def test_rules_whose_ids_do_not_stand_first_or_whose_keys_are_not_paths_take_the_long_way(rules: str) -> None:
    context = msgspec.structs.replace(CONTEXT, asset_map=_map_of(rules))

    assert Shortcut.of(context, lambda _: None, Spill(0, Path)) is None
    assert Shortcut.of(CONTEXT, lambda _: None, Spill(0, Path)) is not None


# -- a record --

KEYS = st.sampled_from([IMAGE, DANCE, "output/x y.png", "C:/oo/bar/output/a b.png"]) | st.text(
    "aK;`'\"<>|,/\\ .%:()\n\u00a0\u00e9oo", max_size=8
)
PAGES = st.sampled_from(["https://example.com/a?b=c", "http://x/output/characters/ann.png", "HTTPS://x/y", "ftp://a/b"])
TEXTS = (
    st.builds(BUCKET.uri, KEYS)
    | st.builds("{}{}".format, st.builds(BUCKET.uri, KEYS), st.sampled_from([" ", ",", "\n", "\u200b", '"']))
    | KEYS
    | PAGES
    | st.builds("{}{}{}".format, PAGES, st.sampled_from(["", " ", ", "]), KEYS | st.just(f"C:/oo/bar/output/{IMAGE}"))
    | st.sampled_from(["", " ", "later", "file:x", "a%2fb", "C:x", "\ud800", "\u521d"])
)
SINGLE = st.none() | st.integers() | st.booleans() | st.floats()
NAMES = st.sampled_from(["anime_image", "dance_video", "notes", "title", "assets", "x/y", "a\\b", "\ud800", "n", ""])
MAPS = st.dictionaries(NAMES, TEXTS | SINGLE | st.lists(TEXTS, max_size=1), max_size=3)
PLAIN = st.fixed_dictionaries(
    {"title": st.sampled_from(["a", "b", "primary", 5, None])},
    optional={"anime_image": st.builds(BUCKET.uri, KEYS), "dance_video": st.just(BUCKET.uri(DANCE)), "n": SINGLE}
    | {"notes": TEXTS},
)
ENTRIES = (
    st.lists(PLAIN, max_size=2, unique_by=lambda each: each["title"]) | st.lists(MAPS | TEXTS, max_size=2) | SINGLE
)
OTHERS = st.dictionaries(
    st.sampled_from(["name", "x/y", "n", "", f"output/{IMAGE}"]),
    st.just("Ann") | SINGLE | TEXTS | st.dictionaries(NAMES, TEXTS, max_size=1),
    max_size=1,
)
TYPES = st.sampled_from(["anime_image", "dance_video", "cosplay_image", "dance_videos", "no type"])
INDEXES = st.lists(TYPES, max_size=3) | st.sampled_from([None, "", "x", 5, [5], [BUCKET.uri(IMAGE)], {}, [None]])
DOCUMENTS = st.builds(lambda fields, entries: Document("ann", {**fields, "assets": entries}, "1"), OTHERS, ENTRIES)
INDEXED_DOCUMENTS = st.builds(
    lambda document, held: msgspec.structs.replace(document, fields={**document.fields, INDEX: held}),
    DOCUMENTS,
    INDEXES,
)


@given(document=DOCUMENTS)
def test_a_plain_record_has_the_references_of_the_long_way(document: Document) -> None:
    found = plain_references(document, CONTEXT)
    assert found is None or found == list(explode(document, World.RECORDS, CONTEXT))


@pytest.mark.parametrize("prefix", ["", "see, C:/oo/bar/output", "C:/oo/bar/output", "K;`"])
@given(key=KEYS)
def test_so_it_has_whatever_the_prefix_of_the_bucket_is(prefix: str, key: str) -> None:
    context = msgspec.structs.replace(CONTEXT, bucket=BucketRoot("my-bucket", prefix))
    document = Document("ann", {"assets": [{"title": "a", "anime_image": context.bucket.uri(key)}]}, "1")
    found = plain_references(document, context)
    assert found is None or found == list(explode(document, World.RECORDS, context))


@pytest.mark.parametrize("form", ["x{}C:/oo/bar/output/a.png", "{}a.png", "a{}b.png", "a.png{}", "{}"])
def test_so_it_has_whatever_character_is_in_a_key(form: str) -> None:
    for char in map(chr, range(1, 0x180)):
        document = Document("ann", {"assets": [{"title": "a", "anime_image": BUCKET.uri(form.format(char))}]}, "1")
        found = plain_references(document, CONTEXT)
        assert found is None or found == list(explode(document, World.RECORDS, CONTEXT)), char


def plain_references(document: Document, context: Context) -> list[Candidate] | None:
    found = PlainRecords(context, QuietKeys(context.asset_map, context.known_ids)).read(document)
    return None if found is None else [as_candidate(each) for each in found.references]


def _there(reference: Candidate, context: Context) -> Answer:
    """The answer of a key that is there."""
    reading = context.asset_map.read(reference.key, context.known_ids)
    return Answer(
        world=reference.world,
        document=reference.document,
        slot=reference.slot,
        rank=reference.rank,
        key=reference.key,
        spelling=0,
        damaged=False,
        exact=True,
        outlook=Outlook.THERE,
        crc32c=ONE,
        asset_type=None if reading is None else reading.rule.type,
    )


def _taken(shortcut: Shortcut, rows: list[Row]) -> set[str]:
    """The keys that are skipped if both sides of all are in step. ``rows`` go on whatever there is."""
    asked = [each for some in shortcut.asked() for each in some]
    keys = sorted({each[0] for each in asked})
    files = [(key, LocalFile(key, 5, 1, ONE)) for key in keys]
    objects = [(key, RemoteObject(key, 5, 7, ONE, content_type(key), metageneration=1)) for key in keys]
    states = {key: Agreed(key, 5, ONE, 7) for key in keys}
    taken = set(shortcut.skipped(files, objects, states, [(row.value.key, None) for row in rows], asked))
    rows += [as_row(each) for each in asked]
    return taken


@given(document=INDEXED_DOCUMENTS | DOCUMENTS, context=st.sampled_from([CONTEXT, INDEXED]))
@thoroughly(5)
def test_a_record_comes_to_the_same_without_the_answers_of_its_quiet_keys(document: Document, context: Context) -> None:
    shortcut = _shortcut(context)
    rows = list(shortcut.exploded(document))
    for row in rows:
        if not row.value.is_strict:
            shortcut.note_loose(row)
    skipped = _taken(shortcut, rows)
    answers = [_there(row.value, context) for row in rows if row.value.is_strict]
    left = [each for each in answers if each.key not in skipped]
    list(shortcut.passing(Row(Stream.ANSWER, "ann", each) for each in left))
    by_long = list(document_stage("ann", {Stream.RECORD: [document], Stream.ANSWER: answers}, context))

    if not shortcut.judges("ann"):
        assert by_long == []
    else:
        group: Group = shortcut.completed({Stream.RECORD: [document], Stream.ANSWER: left})
        assert list(document_stage("ann", group, context)) == by_long


@pytest.mark.parametrize(
    ("fields", "context", "passes"),
    [
        pytest.param({}, CONTEXT, False, id="closed"),
        pytest.param({"page": "https://example.com/ann?x=1"}, CONTEXT, False, id="a web page"),
        pytest.param({"note": {"a": IMAGE}}, CONTEXT, True, id="a map"),
        pytest.param({"note": "\ud800"}, CONTEXT, True, id="half a character"),
        pytest.param({f"output/{IMAGE}": 1}, CONTEXT, True, id="a name with a separator"),
        pytest.param({"note": f"https://a/b output/{IMAGE}"}, CONTEXT, True, id="a web page and a path"),
        pytest.param({"note": f"https://a/b,C:/oo/bar/output/{IMAGE}"}, CONTEXT, True, id="a page and a path of ours"),
        pytest.param({"assets": [{"title": "a", f"output/{IMAGE}": 1}]}, CONTEXT, True, id="a field with a separator"),
        pytest.param({"note": "output/characters/ann.png"}, CONTEXT, True, id="a text with a separator"),
        pytest.param({"assets": [{"title": "a"}, {"title": "a"}]}, CONTEXT, True, id="twin titles"),
        pytest.param({"assets": [{"title": "a", "icons": [BUCKET.uri(IMAGE)]}]}, CONTEXT, True, id="a list"),
        pytest.param({"assets": [{"title": "a", "anime_image": "later"}]}, CONTEXT, True, id="a field of the rules"),
        pytest.param({"assets": {}}, CONTEXT, True, id="entries that are not a list"),
        pytest.param({INDEX: ["anime_image"]}, INDEXED, False, id="the index is right"),
        pytest.param({INDEX: ["anime_image"] * 2}, INDEXED, False, id="the index is right, twice"),
        pytest.param({}, INDEXED, True, id="no index"),
        pytest.param({INDEX: []}, INDEXED, True, id="a type is not in the index"),
        pytest.param({INDEX: ["anime_image", "dance_video"]}, INDEXED, True, id="a type too many is in the index"),
        pytest.param({INDEX: ["character_image"]}, INDEXED, True, id="a former name is in the index"),
        pytest.param({INDEX: "anime_image"}, INDEXED, True, id="the index is somebody else's"),
        pytest.param({"assets": [], INDEX: None}, INDEXED, False, id="neither assets nor index"),
        pytest.param({"assets": [], INDEX: ""}, INDEXED, True, id="neither assets nor index, but a text"),
    ],
)
def test_a_record_is_open_if_something_may_follow_from_it(
    fields: dict[str, object], context: Context, *, passes: bool
) -> None:
    assets = [{"title": "primary", "anime_image": BUCKET.uri(IMAGE)}]
    document = Document("ann", {"name": "Ann", "assets": assets, **fields}, "1")
    shortcut = _shortcut(context)
    list(shortcut.exploded(document))

    assert shortcut.judges("ann") is passes


def test_no_key_of_a_record_is_skipped_whose_index_lacks_a_type() -> None:
    """The change that adds the type tells of the object."""
    assets = [{"title": "primary", "anime_image": BUCKET.uri(IMAGE), "dance_video": BUCKET.uri(DANCE)}]
    for held, is_taken in ((["anime_image", "dance_video"], True), (["anime_image"], False), (None, False)):
        document = Document("ann", {"assets": assets, INDEX: held}, "1")
        shortcut = _shortcut(INDEXED)
        rows = list(shortcut.exploded(document))
        assert _taken(shortcut, rows) == ({IMAGE, DANCE} if is_taken else set())


def test_an_answer_to_the_local_database_does_not_stand_for_one_to_the_record() -> None:
    document = Document("ann", {"assets": [{"title": "primary", "anime_image": BUCKET.uri(IMAGE)}]}, "1")
    shortcut = _shortcut(CONTEXT)
    rows = list(shortcut.exploded(document))
    assert _taken(shortcut, rows) == {IMAGE}
    local = _there(msgspec.structs.replace(NAMED, world=World.LOCAL_DB, key=DANCE), CONTEXT)

    answers = shortcut.completed({Stream.RECORD: [document], Stream.ANSWER: [local]})[Stream.ANSWER]
    assert [(each.world, each.key) for each in answers] == [(World.LOCAL_DB, DANCE), (World.RECORDS, IMAGE)]
