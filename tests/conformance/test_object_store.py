"""One suite for every object store: what the port promises, wherever the objects lie."""

from __future__ import annotations

import gzip
import io
import threading
from collections.abc import Callable, Iterator

import pytest
from crc32c import crc32c

from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import (
    NotThere,
    PreconditionFailed,
    Rejected,
    SourceChanged,
    SourceError,
    StoreError,
)
from reconcile.core.rows import RemoteObject
from reconcile.ports import DesiredObject, ObjectStore
from tests.conformance.object_stores import MAKERS, PREFIX, Maker, Needs

ODD_NAMES = [
    "[kpop]_x.mp4",
    "a [b](c){d}.png",
    "double  space.png",
    "tab\there.png",
    "pct%20lit%2Fslash.png",
    "ha#sh.png",
    "que?st=1&x=2.png",
    "back\\slash\\x.png",
    "plus+plus.png",
    "semi;col:on,com.png",
    "quo'te\"s`.png",
    "👩‍👩‍👧‍👦.png",
    "Café Ñandú.wav",
    "Cafe\u0301 N\u0303andu\u0301.wav",
    "日本語/アニメ.mp4",
    "trail/",
    "//dbl//slash",
    "./dot/../x",
    ".hidden",
    "*star.png",
    "~tilde.png",
    "<lt>|pipe.png",
    "nb\u00a0sp.png",
    "zero\u200bwidth.png",
    "rtl\u202egnp.exe",
    "x" * 300 + "/" + "y" * 300,
    ":star:.png",
    "a",
    "a/b",
]
BAD_NAMES = ["", "line\nbreak", "carriage\rreturn", "x" * 1025, "é" * 513, "lone\udc80surrogate"]


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.referee if "referee" in name else ()) for name in MAKERS])
def maker(request: pytest.FixtureRequest) -> Maker:
    made = MAKERS[request.param](request)
    needs = request.node.get_closest_marker("needs")
    for need in needs.args if needs else ():
        if need in made.lacks:
            pytest.skip(f"this server does not do it: {need.value}")
    return made


@pytest.fixture
def open_store(maker: Maker) -> Iterator[Callable[[str], ObjectStore]]:
    """Opens stores of one bucket, by prefix; they are closed at the end."""
    opened: list[ObjectStore] = []

    def open_one(prefix: str) -> ObjectStore:
        opened.append(maker.open(prefix))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()  # type: ignore[attr-defined]


@pytest.fixture
def store(open_store: Callable[[str], ObjectStore]) -> ObjectStore:
    return open_store(PREFIX)


def digest(data: bytes) -> str:
    return encode_crc32c(crc32c(data))


def put(store: ObjectStore, key: str, data: bytes = b"data", *, generation: int = 0) -> RemoteObject:
    return store.put(DesiredObject(key, len(data), digest(data), "image/png", generation), io.BytesIO(data))


def keys(store: ObjectStore, prefix: str = "", splits: tuple[str, ...] = ()) -> list[str]:
    return [each.key for each in store.list(prefix, splits)]


def everything(store: ObjectStore, key: str, offset: int = 0) -> bytes:
    return b"".join(store.read(key, offset=offset))


def test_an_object_comes_back_as_it_was_put(store: ObjectStore) -> None:
    made = put(store, "characters/ai_hoshino.png", b"\x89PNG\r\n\x1a\n")
    assert made == store.get("characters/ai_hoshino.png")
    assert [made] == list(store.list())
    assert (made.size, made.crc32c, made.content_type) == (8, digest(b"\x89PNG\r\n\x1a\n"), "image/png")
    assert made.generation > 0
    assert made.updated.endswith("Z")
    assert everything(store, "characters/ai_hoshino.png") == b"\x89PNG\r\n\x1a\n"


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    made = put(store, "empty", b"")
    assert (made.size, made.crc32c) == (0, "AAAAAA==")
    assert store.get("empty") == made
    assert everything(store, "empty") == b""


def test_what_is_not_there_is_none_or_an_error(store: ObjectStore) -> None:
    assert store.get("nothing") is None
    assert keys(store) == []
    with pytest.raises(NotThere):
        everything(store, "nothing")


def test_odd_names_are_just_names(store: ObjectStore) -> None:
    for name in ODD_NAMES:
        put(store, name, name.encode())
    assert keys(store) == sorted(ODD_NAMES)
    for name in ODD_NAMES:
        assert everything(store, name) == name.encode()
        found = store.get(name)
        assert found is not None
        assert found.key == name


def test_odd_names_are_prefixes_like_others(store: ObjectStore) -> None:
    for name in ODD_NAMES:
        put(store, name, name.encode())
    for name in ODD_NAMES:
        assert keys(store, name) == sorted(each for each in ODD_NAMES if each.startswith(name))


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_are_refused(open_store: Callable[[str], ObjectStore], name: str) -> None:
    with pytest.raises(Rejected):
        put(open_store(""), name)


@pytest.mark.parametrize("name", [".", "..", ".well-known/acme-challenge/x"])
def test_names_that_are_bad_only_at_the_root(open_store: Callable[[str], ObjectStore], name: str) -> None:
    with pytest.raises(Rejected):
        put(open_store(""), name)
    assert put(open_store(PREFIX), name).key == name


@pytest.mark.needs(Needs.SHARED)
def test_without_a_prefix_keys_are_names(open_store: Callable[[str], ObjectStore]) -> None:
    put(open_store(PREFIX), "dances/a.mp4")
    put(open_store(""), "other/b.mp4")
    assert keys(open_store("")) == ["anime_dance/dances/a.mp4", "other/b.mp4"]
    assert keys(open_store(PREFIX)) == ["dances/a.mp4"]
    assert keys(open_store("anime")) == []


def test_a_prefix_is_a_string_not_a_folder(store: ObjectStore) -> None:
    ids = ["mei", "mei_cosplay", "rem", "rem_2", "remi", "ren"]
    for each in ids:
        put(store, f"characters/{each}.png")
    assert keys(store, "characters/rem") == [f"characters/{each}.png" for each in ("rem", "rem_2", "remi")]
    assert keys(store, "characters/mei.") == ["characters/mei.png"]
    assert keys(store, "characters/x") == []


def test_a_long_listing_is_whole_and_in_order(store: ObjectStore) -> None:
    names = [f"{number % 7}/{number:03}" for number in range(40)] + ["é", "z", "\U0001f600", "\uff5e"]
    for name in names:
        put(store, name)
    assert keys(store) == sorted(names)
    assert keys(store, "3/") == sorted(name for name in names if name.startswith("3/"))


@pytest.mark.parametrize("splits", [("3/",), ("1/008", "1/0", "5/040", "zz"), ("3/", "3/", "0"), ("", "3/003")])
def test_splits_change_nothing(store: ObjectStore, splits: tuple[str, ...]) -> None:
    for number in range(40):
        put(store, f"{number % 7}/{number:03}")
    assert keys(store, "", splits) == keys(store)
    assert keys(store, "3/", splits) == keys(store, "3/")


@pytest.mark.parametrize(
    ("first", "stop"),
    [("", ""), ("1/", "3/"), ("1/008", "1/008"), ("1/008", "1/0080"), ("", "0"), ("9", ""), ("3/0", "")],
)
def test_a_range_of_keys_is_that_part_of_the_listing(store: ObjectStore, first: str, stop: str) -> None:
    for number in range(40):
        put(store, f"{number % 7}/{number:03}")
    expected = [key for key in keys(store) if key >= first and (not stop or key < stop)]
    assert [each.key for each in store.between(first, stop)] == expected


@pytest.mark.parametrize(
    ("first", "stop", "prefix"),
    [("", "", "a/"), ("a/1", "", "a/"), ("", "a/2", "a/"), ("a/1", "b", "a"), ("b", "", "a")],
)
def test_a_range_of_keys_below_a_prefix(store: ObjectStore, first: str, stop: str, prefix: str) -> None:
    keys = ["a/0", "a/1", "a/2", "a0", "b/0"]
    for key in keys:
        put(store, key)
    expected = [key for key in keys if key >= first and (not stop or key < stop) and key.startswith(prefix)]
    assert [each.key for each in store.between(first, stop, prefix)] == expected


def test_more_splits_than_threads(store: ObjectStore) -> None:
    for number in range(40):
        put(store, f"{number:03}")
    assert keys(store, "", tuple(f"{number:03}" for number in range(0, 40, 2))) == [f"{n:03}" for n in range(40)]


def test_create_only_leaves_what_is_there(store: ObjectStore) -> None:
    first = put(store, "a.png", b"first")
    with pytest.raises(PreconditionFailed) as caught:
        put(store, "a.png", b"second")
    assert not isinstance(caught.value, NotThere)
    assert store.get("a.png") == first
    assert everything(store, "a.png") == b"first"


def test_the_planned_bytes_put_there_by_somebody_else_are_no_success_of_ours(store: ObjectStore) -> None:
    first = put(store, "a.png", b"same")
    with pytest.raises(PreconditionFailed):
        put(store, "a.png", b"same")
    assert store.get("a.png") == first


def test_replace_takes_the_generation_that_was_seen(store: ObjectStore) -> None:
    first = put(store, "a.png", b"first")
    second = put(store, "a.png", b"second", generation=first.generation)
    assert second.generation > first.generation
    with pytest.raises(PreconditionFailed):
        put(store, "a.png", b"third", generation=first.generation)
    assert store.get("a.png") == second
    assert everything(store, "a.png") == b"second"


def test_replace_of_nothing_is_not_there(store: ObjectStore) -> None:
    with pytest.raises(NotThere):
        put(store, "a.png", generation=1)
    assert store.get("a.png") is None


def test_one_of_eight_creators_wins(store: ObjectStore) -> None:
    for round_number in range(3):
        key = f"race-{round_number}"
        won = race(8, lambda number, key=key: put(store, key, b"%d" % number))  # type: ignore[misc]
        assert len(won) == 1
        assert everything(store, key) == b"%d" % won[0]


def test_nothing_is_lost_between_writers(store: ObjectStore) -> None:
    put(store, "log", b"")

    def append_five(writer: int) -> None:
        for number in range(5):
            append(store, f"{writer}.{number};")

    race(4, append_five)
    lines = everything(store, "log").decode().split(";")
    assert sorted(lines) == sorted([""] + [f"{writer}.{number}" for writer in range(4) for number in range(5)])


def append(store: ObjectStore, line: str) -> None:
    """Adds a line by reading and replacing, however often others come between."""
    while True:
        seen = store.get("log")
        assert seen is not None
        try:
            put(store, "log", everything(store, "log") + line.encode(), generation=seen.generation)
        except PreconditionFailed:
            continue
        return


def race(runners: int, run: Callable[[int], object]) -> list[int]:
    """Runs them at once; those that did not fail on a precondition. Any other error is the test's."""
    start = threading.Barrier(runners)
    won: list[int] = []
    errors: list[BaseException] = []

    def one(number: int) -> None:
        start.wait()
        try:
            run(number)
            won.append(number)
        except PreconditionFailed:
            return
        except (StoreError, SourceError, AssertionError) as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(runners)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    return won


LARGE = bytes(range(256)) * 4096 * 9


@pytest.mark.parametrize("data", [b"small", b"x" * 200_000, LARGE], ids=len)
@pytest.mark.parametrize("fault", ["longer", "shorter", "other"])
def test_a_body_that_is_not_the_planned_one_never_lands(store: ObjectStore, data: bytes, fault: str) -> None:
    found = {"longer": data + b"+", "shorter": data[:-1], "other": data[:-1] + b"!"}[fault]
    assert_refused(store, data, found)


def test_a_body_that_was_planned_empty_and_is_not(store: ObjectStore) -> None:
    assert_refused(store, b"", b"+")


def assert_refused(store: ObjectStore, planned: bytes, found: bytes) -> None:
    """Other bytes than the planned ones are SourceChanged, and nothing lands."""
    with pytest.raises(SourceChanged):
        store.put(DesiredObject("a", len(planned), digest(planned), "image/png", 0), io.BytesIO(found))
    assert store.get("a") is None
    assert keys(store) == []


@pytest.mark.needs(Needs.RESUMABLE)
def test_a_large_object(store: ObjectStore) -> None:
    first = put(store, "large", LARGE)
    assert (first.size, first.crc32c) == (len(LARGE), digest(LARGE))
    assert everything(store, "large") == LARGE
    with pytest.raises(PreconditionFailed):
        put(store, "large", LARGE[::-1])
    assert store.get("large") == first
    second = put(store, "large", LARGE[::-1], generation=first.generation)
    assert store.get("large") == second


def test_progress_adds_up(store: ObjectStore) -> None:
    moved: list[int] = []
    data = b"x" * 300_000
    store.put(DesiredObject("a", len(data), digest(data), "video/mp4", 0), io.BytesIO(data), progress=moved.append)
    assert sum(moved) == len(data)
    assert len(moved) > 1


def test_reading_from_an_offset(store: ObjectStore) -> None:
    data = bytes(range(256)) * 3000
    put(store, "a", data)
    for offset in (1, 255, 300_000, len(data) - 1, len(data)):
        assert everything(store, "a", offset) == data[offset:]
    assert b"".join(store.read("a")) == data


PEOPLE_SAY = {
    "cacheControl": "public, max-age=60",
    "contentDisposition": 'attachment; filename="take one.mp4"',
    "contentLanguage": "ja",
    "customTime": "2026-02-07T03:00:00Z",
    "metadata": {"reviewed-by": "星野", "firebaseStorageDownloadTokens": "t"},
}


@pytest.mark.needs(Needs.METADATA)
@pytest.mark.parametrize("data", [b"new", LARGE], ids=["one request", "resumable"])
def test_what_people_said_of_an_object_survives_its_replacement(store: ObjectStore, maker: Maker, data: bytes) -> None:
    first = put(store, "a.mp4", gzip.compress(b"old"))
    maker.say(store, "a.mp4", {**PEOPLE_SAY, "contentEncoding": "gzip"})
    second = put(store, "a.mp4", data, generation=first.generation)

    assert (second.encoding, store.get("a.mp4")) == ("", second)
    assert everything(store, "a.mp4") == data
    assert maker.say(store, "a.mp4", {}) == PEOPLE_SAY
    third = put(store, "a.mp4", b"third", generation=second.generation)
    assert (third.encoding, maker.say(store, "a.mp4", {})) == ("", PEOPLE_SAY)


def set_type(store: ObjectStore, seen: RemoteObject, type_: str) -> RemoteObject:
    return store.set_type(
        seen.key,
        type_,
        if_generation_match=seen.generation,
        if_metageneration_match=seen.metageneration,
    )


def copy(store: ObjectStore, key: str, seen: RemoteObject, *, generation: int = 0) -> RemoteObject:
    assert seen.crc32c is not None
    return store.copy(
        DesiredObject(key, seen.size, seen.crc32c, "video/mp4", generation), seen.key, source_generation=seen.generation
    )


def test_an_md5_is_that_of_the_bytes_and_of_the_generation_that_is_asked_for(store: ObjectStore) -> None:
    seen = put(store, "a.mp4", b"data")
    assert store.md5("a.mp4", generation=seen.generation) == "jXd/OF09/siBXSD3SWAm3A=="
    assert store.md5("b.mp4", generation=seen.generation) is None


@pytest.mark.needs(Needs.GENERATION_READS)
def test_there_is_no_md5_of_another_generation_or_of_what_is_encoded(store: ObjectStore, maker: Maker) -> None:
    seen = put(store, "a.mp4", b"data")
    assert store.md5("a.mp4", generation=seen.generation + 1) is None
    maker.say(store, "a.mp4", {"contentEncoding": "gzip"})
    assert store.md5("a.mp4", generation=seen.generation) is None


@pytest.mark.needs(Needs.METADATA)
def test_a_copy_has_the_bytes_and_its_own_type_and_nothing_else_that_is_said(store: ObjectStore, maker: Maker) -> None:
    put(store, "a [b].png", LARGE)
    maker.say(store, "a [b].png", PEOPLE_SAY)
    seen = store.get("a [b].png")
    assert seen is not None
    made = copy(store, "dances/b#1.mp4", seen)
    assert made == store.get("dances/b#1.mp4")
    assert (made.content_type, made.size, made.crc32c) == ("video/mp4", seen.size, seen.crc32c)
    assert made.generation != seen.generation
    assert everything(store, "dances/b#1.mp4") == LARGE
    assert maker.say(store, "dances/b#1.mp4", {}) == {}
    assert store.get("a [b].png") == seen


@pytest.mark.needs(Needs.GENERATION_READS)
def test_a_copy_is_made_under_both_generations(store: ObjectStore) -> None:
    seen, other = put(store, "a.png", b"data"), put(store, "b.png", b"other")
    with pytest.raises(PreconditionFailed):
        copy(store, "b.png", seen)
    newer = put(store, "a.png", b"newer", generation=seen.generation)
    with pytest.raises(PreconditionFailed):
        copy(store, "c.png", seen)
    assert [store.get(key) for key in ("a.png", "b.png", "c.png")] == [newer, other, None]


def test_what_is_not_there_cannot_be_copied(store: ObjectStore) -> None:
    with pytest.raises(NotThere):
        store.copy(DesiredObject("b", 4, digest(b"data"), "", 0), "a", source_generation=1)
    assert list(store.list()) == []


@pytest.mark.needs(Needs.METADATA)
def test_a_content_type_is_set_under_both_generations_and_all_else_stays(store: ObjectStore, maker: Maker) -> None:
    first = put(store, "a.mp4")
    maker.say(store, "a.mp4", PEOPLE_SAY)
    seen = store.get("a.mp4")
    assert seen is not None
    assert seen.metageneration > first.metageneration > 0
    with pytest.raises(PreconditionFailed):
        set_type(store, first, "video/mp4")

    made = set_type(store, seen, "video/mp4")
    assert (made.content_type, made.generation) == ("video/mp4", seen.generation)
    assert made.metageneration > seen.metageneration
    assert (store.get("a.mp4"), list(store.list())) == (made, [made])
    assert (everything(store, "a.mp4"), maker.say(store, "a.mp4", {})) == (b"data", PEOPLE_SAY)

    found = store.get("a.mp4")
    assert found is not None
    second = put(store, "a.mp4", b"new", generation=found.generation)
    with pytest.raises(PreconditionFailed):
        set_type(store, found, "image/png")
    assert store.get("a.mp4") == second


def test_the_content_type_of_what_is_not_there_cannot_be_set(store: ObjectStore) -> None:
    with pytest.raises(NotThere):
        store.set_type("a.mp4", "video/mp4", if_generation_match=1, if_metageneration_match=1)
    assert list(store.list()) == []


def test_a_new_object_and_a_replaced_one_of_which_nothing_is_said(store: ObjectStore) -> None:
    first = put(store, "a.mp4", b"old")
    second = put(store, "a.mp4", b"new", generation=first.generation)
    assert (first.encoding, second.encoding, everything(store, "a.mp4")) == ("", "", b"new")


@pytest.mark.needs(Needs.METADATA)
@pytest.mark.parametrize(
    ("said", "encoding"),
    [
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip,identity", "gzip"),
        ("br", "br"),
        ("gzip, gzip", "gzip, gzip"),
        ("identity", ""),
    ],
)
def test_an_encoding_is_read_and_the_bytes_come_as_they_are_stored(
    store: ObjectStore, maker: Maker, said: str, encoding: str
) -> None:
    packed = gzip.compress(bytes(range(256)) * 3000)
    put(store, "a.json", packed)
    put(store, "b.json", b"plain")
    maker.say(store, "a.json", {"contentEncoding": said})

    found = store.get("a.json")
    assert found is not None
    assert (found.encoding, found.size, found.crc32c) == (encoding, len(packed), digest(packed))
    assert [(each.key, each.encoding) for each in store.list()] == [("a.json", encoding), ("b.json", "")]
    for offset in (0, 1, 500, len(packed) - 1) if encoding else ():
        assert b"".join(store.read("a.json", offset=offset, encoded=True)) == packed[offset:]


@pytest.mark.needs(Needs.GENERATION_READS)
def test_reading_a_generation_that_is_gone(store: ObjectStore) -> None:
    first = put(store, "a", b"first")
    second = put(store, "a", b"second", generation=first.generation)
    assert b"".join(store.read("a", generation=second.generation)) == b"second"
    with pytest.raises(NotThere):
        b"".join(store.read("a", generation=first.generation))
