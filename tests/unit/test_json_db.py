"""The JSON database: what it reads, what it refuses, and that a write changes the values meant and nothing else."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from reconcile.adapters.files import near
from reconcile.adapters.jsondb.swap import exchange, left_beside
from reconcile.core.errors import (
    LocalDatabaseError,
    NotThere,
    PreconditionFailed,
    Rejected,
    StoreUnavailable,
)
from tests.kit.json_records import JsonRecords
from tests.kit.windows import on_each_system  # noqa: F401

OLD = r"C:\oo\bar\output\characters\rem.png"
NEW = "gs://my-bucket/anime_dance/characters/rem.png"
DOCUMENT = {"name": "Rem", "assets": [{"title": "primary", "anime_image": OLD}]}


def never(seconds: float) -> None:
    assert not seconds, "it waited"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "characters.json"


def database(path: Path, wait: Callable[[float], None] = never) -> JsonRecords:
    return JsonRecords(path, "assets", wait=wait, patience=0)


def patient(path: Path) -> JsonRecords:
    return database(path, wait=lambda _: None)


def fix(path: Path, document: str = "rem", **fields: Any) -> str:
    """Writes the new URI, as a run would; the file's text after it."""
    store = database(path)
    [found] = store.read([document])
    if not fields:
        fields = {"assets": [{**found.fields["assets"][0], "anime_image": NEW}, *found.fields["assets"][1:]]}
    store.update(document, fields, if_update_time=found.update_time)
    return path.read_bytes().decode()


# -- reading ----------------------------------------------------------------------------------------------------


def test_an_object_of_documents(path: Path) -> None:
    path.write_text(json.dumps({"remi": {"n": 1}, "rem": DOCUMENT}))
    assert list(database(path).ids()) == ["rem", "remi"]
    assert list(database(path).ids("remi")) == ["remi"]
    assert [(one.id, one.fields) for one in database(path).read()] == [("rem", DOCUMENT), ("remi", {"n": 1})]


@pytest.mark.parametrize("key", ["id", "char_id"])
def test_a_list_of_documents(path: Path, key: str) -> None:
    documents = [{key: "remi", "assets": []}, {"name": "Rem", key: "rem"}]
    path.write_text(json.dumps(documents))
    assert [(one.id, one.fields) for one in database(path).read()] == [("rem", documents[1]), ("remi", documents[0])]


def test_a_list_that_has_both_keys_goes_by_char_id(path: Path) -> None:
    path.write_text('[{"id": 7, "char_id": "rem"}, {"id": 8, "char_id": "ram"}]')
    assert list(database(path).ids()) == ["ram", "rem"]


@pytest.mark.parametrize("text", ["{}", "[]", " [ ] \n", "\ufeff{}"])
def test_a_database_without_documents(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    assert list(database(path).read()) == []


@pytest.mark.parametrize(
    "text",
    ['{"characters": {"rem": {"assets": []}}}', '{"v": {"n": 1}, "characters": {"rem": {"assets": []}}}',
     '{"characters": {"rem": {"name": "Rem"}}}', '{"characters": [{"id": "rem"}]}', '{"rem": {}, "version": 1}',
     '[{"id": "rem"}, {"name": "Ram"}]', '[{"id": 1}]', '[{"id": ""}]', '[["rem", {}]]', '{"": {}}', '"rem"', "1",
     "null", '{"\\ud800": {}}', '[{"id": "rem\\udfff"}]', '[{"id": "rem", "char_id": 5}]'],
)  # fmt: skip
def test_any_other_shape_is_refused_and_the_right_ones_named(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(LocalDatabaseError, match=r"characters\.json") as failure:
        list(database(path).read())
    assert '{"id": {…}, …} or [{"id": "…", …}, …]' in failure.value.hint


@pytest.mark.parametrize("text", ['{"rem": {}, "ram": {}, "rem": {}}', '[{"id": "rem"}, {"id": "rem"}]'])
def test_an_id_that_stands_twice_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(LocalDatabaseError, match="two documents 'rem'"):
        list(database(path).ids())


def test_a_document_whose_entries_are_a_map_is_a_document(path: Path) -> None:
    path.write_text('{"rem": {"assets": {}}}')
    assert list(database(path).ids()) == ["rem"]


def test_a_token_is_of_the_content_and_not_of_the_layout(path: Path) -> None:
    path.write_text('{"a": {"x": 1, "y": [1]}, "b": {"x": 1.0, "y": [1]}}')
    first, second = (one.update_time for one in database(path).read())
    path.write_text('{"a":\n{"y": [1],\n"x": 1}}')
    [again] = database(path).read()
    assert (again.update_time == first, first == second) == (True, False)


# -- a file that is being written -------------------------------------------------------------------------------


@pytest.mark.parametrize("torn", ['{"rem": {"assets": [', "", "  ", '{"rem": {}}}', '{"caf\u00e9'])
def test_a_torn_file_is_read_again_until_it_is_whole(path: Path, torn: str) -> None:
    path.write_bytes(torn.encode()[: -1 if torn.endswith("\u00e9") else None])
    waits: list[float] = []

    def write_on(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            path.write_text('{"rem": {}}')

    assert list(database(path, write_on).ids()) == ["rem"]
    assert len(waits) == 3


@pytest.mark.parametrize(
    ("raw", "words"),
    [(b"", "the file is empty"), (b"\xef\xbb\xbf \n", "the file is empty"),
     (b'{"rem": {\n  "a": 1,\n}}', ":3: .*column 1"),
     (b'{"rem": "\xff"}', "not UTF-8 at byte 9"),
     (b'{"a": {"n": ' + b"9" * 5000 + b"}}", "digits"),
     (b"{} x", ":1: .*Extra data")],
)  # fmt: skip
def test_a_file_that_stays_broken_is_an_error_and_never_empty(path: Path, raw: bytes, words: str) -> None:
    path.write_bytes(raw)
    waits: list[float] = []
    with pytest.raises(LocalDatabaseError, match=words) as failure:
        list(database(path, waits.append).read())
    assert "characters.json" in failure.value.message
    assert failure.value.hint
    assert sum(waits) == pytest.approx(1.0)


def test_a_file_that_a_slow_writer_is_still_making_is_waited_for(path: Path) -> None:
    text = json.dumps({"rem": DOCUMENT, "pad": {"n": "x" * 300}})
    path.write_text("")
    grown = iter(range(1, len(text) + 1))

    def write_on(seconds: float) -> None:
        path.write_text(text[: next(grown, len(text))])

    assert list(database(path, write_on).ids()) == ["pad", "rem"]
    assert next(grown, None) is None


def test_a_file_that_never_stops_growing_is_an_error(path: Path) -> None:
    path.write_text("[")
    waits: list[float] = []

    def write_on(seconds: float) -> None:
        waits.append(seconds)
        path.write_text("[" + " " * len(waits))

    with pytest.raises(LocalDatabaseError, match="written all the time") as failure:
        list(database(path, write_on).ids())
    assert "workflow" in failure.value.hint
    assert 20 < sum(waits) < 60


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs a file that is never as long as it says")
def test_a_file_that_is_written_without_end_is_an_error() -> None:
    with pytest.raises(LocalDatabaseError, match="written while it was read"):
        list(patient(Path("/proc/self/status")).ids())


def test_a_missing_file_is_an_error_that_names_the_rule(path: Path) -> None:
    with pytest.raises(LocalDatabaseError, match="is not there") as failure:
        list(patient(path).ids())
    assert "[local_db]" in failure.value.hint


def test_a_folder_in_its_place_is_an_error(path: Path) -> None:
    path.mkdir()
    with pytest.raises(LocalDatabaseError, match="cannot be read"):
        list(patient(path).ids())


@pytest.mark.parametrize("depth", [980, 100_000])
def test_a_document_too_deep_to_handle_is_an_error(path: Path, depth: int) -> None:
    path.write_text('{"rem": {"a": ' + "[" * depth + "]" * depth + ', "assets": []}}')
    before = path.read_bytes()
    deep: list[Any] = []
    for _ in range(979):
        deep = [deep]
    with pytest.raises(LocalDatabaseError, match="nested too deep"):
        fix(path, a=deep, assets=[1])
    assert path.read_bytes() == before


# -- writing ----------------------------------------------------------------------------------------------------

BEFORE = """{
    "rem": {
        "name": "レム", "big": 123456789012345678901234567890,
        "price": 1.00, "size": 1e5, "odd" : [ 1,2 , 3 ],

        "assets": [
            {"title": "primary",   "anime_image": "C:\\\\oo\\\\bar\\\\output\\\\characters\\\\rem.png", "seed": 0.10}
        ],
        "unknown": {"deep": {"n": -0.0}}
    },
    "ram": {"assets": [], "rate": 2.50, "slash": "a\\/b"}
}
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_an_update_changes_the_one_string_and_not_one_other_character(
    path: Path, newline: str, bom: str, end: str
) -> None:
    before = bom + BEFORE.strip().replace("\n", newline) + end
    path.write_bytes(before.encode())
    assert fix(path) == before.replace(OLD.replace("\\", "\\\\"), NEW)


def test_an_update_in_a_list_changes_the_one_string(path: Path) -> None:
    before = '[{"id":"ram","n":1.0},\n {"id":"rem","assets":[{"anime_image":"x"}]}]'
    path.write_text(before)
    assert fix(path) == before.replace('"x"', f'"{NEW}"')


@pytest.mark.parametrize(("name", "written"), [("Rem", '"caf\\u00e9"'), ("R\u00e9m", '"caf\u00e9"')])
def test_letters_are_escaped_where_the_file_escapes_them(path: Path, name: str, written: str) -> None:
    path.write_text(json.dumps({"rem": {"name": name, "anime": ""}}, ensure_ascii=name.isascii()), encoding="utf-8")
    assert written in fix(path, anime="café")


def test_half_a_surrogate_pair_is_written_and_read_back(path: Path) -> None:
    path.write_text('{"rem": {"name": "R\u00e9m", "anime": "", "assets": ["\\ud800"]}}', encoding="utf-8")
    assert "\\udfff" in fix(path, anime="\udfff")
    [found] = database(path).read()
    assert (found.fields["assets"], found.fields["anime"]) == (["\ud800"], "\udfff")


def test_what_changes_nothing_writes_nothing(path: Path) -> None:
    path.write_text(BEFORE, encoding="utf-8")
    before = path.stat()
    fix(path, assets=json.loads(BEFORE)["rem"]["assets"])
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_of_a_key_that_stands_twice_in_a_document_the_last_is_written(path: Path) -> None:
    path.write_text('{"rem": {"assets": 1, "assets": 2}}')
    assert fix(path, assets=3) == '{"rem": {"assets": 1, "assets": 3}}'


def test_a_shorter_list_and_a_smaller_map_are_written_whole(path: Path) -> None:
    path.write_text('{"rem": {"assets": [1, 2.0], "m": {"a": 1, "b": 2}, "n": 1.00}}')
    assert fix(path, assets=[2.0], m={"b": 2}) == '{"rem": {"assets": [2.0], "m": {"b": 2}, "n": 1.00}}'


def test_an_update_cannot_give_a_document_another_id(path: Path) -> None:
    path.write_text('[{"id": "rem"}, {"id": "ram"}]')
    with pytest.raises(Rejected, match="rem"):
        fix(path, id="ram")
    assert list(database(path).ids()) == ["ram", "rem"]


# -- several documents, several writers -------------------------------------------------------------------------


def test_many_documents_are_written_at_once_and_each_has_its_outcome(path: Path) -> None:
    path.write_text(json.dumps(dict.fromkeys(("ram", "rem", "rin"), DOCUMENT)))
    store = database(path)
    tokens = {one.id: one.update_time for one in store.read()}
    outcomes = store.update_many(
        {
            "rem": ({"assets": [1]}, tokens["rem"]),
            "ram": ({"assets": [2]}, "of another time"),
            "gone": ({"assets": [3]}, tokens["rem"]),
            "rin": ({"assets": (4,)}, tokens["rin"]),
        }
    )
    assert {one: type(outcome) for one, outcome in outcomes.items()} == {
        "rem": str, "ram": PreconditionFailed, "gone": NotThere, "rin": Rejected,
    }  # fmt: skip
    found = {one.id: one for one in store.read()}
    assert [found[one].fields["assets"] for one in ("rem", "ram", "rin")] == [
        [1],
        DOCUMENT["assets"],
        DOCUMENT["assets"],
    ]
    assert outcomes["rem"] == found["rem"].update_time


class Meddling(dict[str, Any]):
    """Fields that, when they are first looked at, let somebody else write the file: between our read and our write."""

    def __init__(self, fields: Mapping[str, Any], *meddle: Callable[[], object]) -> None:
        super().__init__(fields)
        self._meddle = list(meddle)

    def keys(self) -> Any:
        if self._meddle:
            self._meddle.pop(0)()
        return super().keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())


def test_what_somebody_else_writes_in_between_stays(path: Path) -> None:
    path.write_text(json.dumps({"rem": DOCUMENT, "ram": DOCUMENT}))
    store = patient(path)
    [found] = store.read(["rem"])
    theirs = {"rem": DOCUMENT, "ram": {"name": "theirs"}, "rin": {"assets": []}}
    fields = Meddling({"assets": []}, lambda: path.write_text(json.dumps(theirs)))
    token = store.update("rem", fields, if_update_time=found.update_time)
    assert json.loads(path.read_text()) == {**theirs, "rem": {"name": "Rem", "assets": []}}
    assert [one.update_time for one in store.read(["rem"])] == [token]


@pytest.mark.parametrize("size", [231, 232, 250, 255])
@pytest.mark.parametrize("letter", ["x", "名"])
def test_the_longest_name_leaves_room_for_those_beside_it(tmp_path: Path, size: int, letter: str) -> None:
    count, left = divmod(size - len(".json"), len(letter.encode()))
    path = tmp_path / f"{letter * count}{'y' * left}.json"
    path.write_text(json.dumps({"rem": DOCUMENT}))
    store = patient(path)
    [found] = store.read(["rem"])
    theirs = {"rem": DOCUMENT, "ram": {"name": "theirs"}}
    fields = Meddling({"assets": []}, lambda: path.write_text(json.dumps(theirs)))
    store.update("rem", fields, if_update_time=found.update_time)
    assert json.loads(path.read_text()) == {**theirs, "rem": {"name": "Rem", "assets": []}}
    near(path, "kept-12345678-9", lead="").write_text("{}")
    assert left_beside(path) == [near(path, "kept-12345678-9", lead="")]


def test_a_document_that_somebody_else_writes_in_between_is_theirs(path: Path) -> None:
    path.write_text(json.dumps({"rem": DOCUMENT}))
    store = patient(path)
    [found] = store.read(["rem"])
    fields = Meddling({"assets": []}, lambda: path.write_text('{"rem": {"name": "theirs"}}'))
    with pytest.raises(PreconditionFailed):
        store.update("rem", fields, if_update_time=found.update_time)
    assert path.read_text() == '{"rem": {"name": "theirs"}}'
    assert sorted(one.name for one in path.parent.iterdir()) == [".characters.json.lock", "characters.json"]


def test_a_file_that_is_written_all_the_time_is_left_alone(path: Path) -> None:
    path.write_text(json.dumps({"rem": DOCUMENT}))
    store = patient(path)
    [found] = store.read(["rem"])
    blanks = iter(range(1, 100))
    meddle = [lambda: path.write_text(json.dumps({"rem": DOCUMENT}) + " " * next(blanks))] * 50
    with pytest.raises(StoreUnavailable, match="all the time"):
        store.update("rem", Meddling({"assets": []}, *meddle), if_update_time=found.update_time)
    assert json.loads(path.read_text()) == {"rem": DOCUMENT}


def save_in_place(path: Path, text: str) -> None:
    path.write_text(text)


def save_by_renaming(path: Path, text: str) -> None:
    path.with_name("theirs.tmp").write_text(text)
    path.with_name("theirs.tmp").replace(path)


@pytest.mark.posix("only Linux swaps two files in one step")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux swaps two files in one step")
@pytest.mark.parametrize("save", [save_in_place, save_by_renaming])
def test_what_somebody_else_writes_at_the_last_moment_stays(path: Path, save: Callable[[Path, str], None]) -> None:
    path.write_text(json.dumps({"rem": DOCUMENT}))
    theirs = {"rem": DOCUMENT, "rin": {"assets": []}}
    swaps: list[Path] = []

    def swap(fresh: Path, real: Path) -> bool:
        if not swaps:
            save(path, json.dumps(theirs))
        swaps.append(fresh)
        return exchange(fresh, real)

    store = JsonRecords(path, "assets", wait=lambda _: None, patience=0, swap=swap)
    [found] = store.read(["rem"])
    store.update("rem", {"assets": []}, if_update_time=found.update_time)
    assert json.loads(path.read_text()) == {**theirs, "rem": {"name": "Rem", "assets": []}}
    assert len(swaps) == 3, "there, back, and there again"
    assert sorted(one.name for one in path.parent.iterdir()) == [".characters.json.lock", "characters.json"]


@pytest.mark.posix("only Linux tells who has a file open")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells who has a file open")
def test_a_file_that_somebody_has_open_for_writing_is_not_replaced_before_they_are_done(path: Path) -> None:
    path.write_text(json.dumps({"rem": DOCUMENT}))
    theirs = {"rem": DOCUMENT, "rin": {"assets": []}}
    with path.open("r+") as file:

        def write_on(seconds: float) -> None:
            if seconds > 0.1 and not file.closed:
                file.write(json.dumps(theirs))
                file.truncate()
                file.close()

        store = database(path, write_on)
        [found] = store.read(["rem"])
        store.update("rem", {"assets": []}, if_update_time=found.update_time)
        assert file.closed
    assert json.loads(path.read_text()) == {**theirs, "rem": {"name": "Rem", "assets": []}}


def test_a_writer_who_removes_the_file_first_is_waited_for(path: Path) -> None:
    path.write_text(json.dumps({"rem": DOCUMENT}))
    theirs = {"rem": DOCUMENT, "rin": {"assets": []}}

    def write_on(seconds: float) -> None:
        if not path.exists():
            path.write_text(json.dumps(theirs))

    store = database(path, write_on)
    [found] = store.read(["rem"])
    store.update("rem", Meddling({"assets": []}, path.unlink), if_update_time=found.update_time)
    assert json.loads(path.read_text()) == {**theirs, "rem": {"name": "Rem", "assets": []}}


def test_a_file_that_the_system_does_not_let_go_is_looked_at_again(path: Path) -> None:
    path.write_text(json.dumps({"rem": DOCUMENT}))
    theirs = {"rem": DOCUMENT, "rin": {"assets": []}}
    refusals = iter([PermissionError(13, "another process has it open")])

    def swap(fresh: Path, real: Path) -> bool:
        for refusal in refusals:
            save_in_place(path, json.dumps(theirs))
            raise refusal
        return False

    store = JsonRecords(path, "assets", wait=lambda _: None, patience=0, swap=swap)
    [found] = store.read(["rem"])
    store.update("rem", {"assets": []}, if_update_time=found.update_time)
    assert json.loads(path.read_text()) == {**theirs, "rem": {"name": "Rem", "assets": []}}
    assert sorted(one.name for one in path.parent.iterdir()) == [".characters.json.lock", "characters.json"]


def test_another_run_is_waited_for_and_then_named(path: Path) -> None:
    path.write_text(json.dumps({"rem": DOCUMENT}))
    with FileLock(path.with_name(".characters.json.lock")), pytest.raises(StoreUnavailable, match="another run"):
        fix(path, assets=[])
    assert json.loads(fix(path, assets=[])) == {"rem": {**DOCUMENT, "assets": []}}


# -- the file ---------------------------------------------------------------------------------------------------


@pytest.mark.posix("Windows has no such modes")
def test_the_mode_and_a_link_to_the_file_stay(path: Path, tmp_path: Path) -> None:
    path.write_text(json.dumps({"rem": DOCUMENT}))
    path.chmod(0o640)
    link = tmp_path / "elsewhere" / "link.json"
    link.parent.mkdir()
    link.symlink_to(path)
    assert NEW in fix(link)
    assert (link.is_symlink(), stat.S_IMODE(path.stat().st_mode)) == (True, 0o640)
    assert NEW in path.read_text()


def test_a_file_that_is_read_only_is_left_alone(path: Path) -> None:
    path.write_text(json.dumps({"rem": DOCUMENT}))
    before = path.read_bytes()
    path.chmod(0o444)
    with pytest.raises(LocalDatabaseError, match="read-only") as failure:
        fix(path)
    assert "rewrite = false" in failure.value.hint
    assert path.read_bytes() == before
    assert not path.with_name(".characters.json.new").exists()


def test_what_a_killed_run_left_is_no_hindrance(path: Path) -> None:
    path.write_text(json.dumps({"rem": DOCUMENT}))
    path.with_name(".characters.json.part").write_text('{"half')
    assert NEW in fix(path)
    assert not path.with_name(".characters.json.part").exists()


@pytest.mark.posix("no limit on a file's size there")
def test_a_disk_that_is_full_leaves_the_file_as_it_was(path: Path) -> None:
    import resource

    path.write_text(json.dumps({"rem": DOCUMENT}))
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (32, limits[1]))
    try:
        with pytest.raises(LocalDatabaseError, match="cannot be written") as failure:
            fix(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert failure.value.hint
    assert path.read_bytes() == before
    assert not path.with_name(".characters.json.new").exists()


def test_a_folder_without_a_place_for_the_lock_is_an_error(path: Path) -> None:
    path.write_text(json.dumps({"rem": DOCUMENT}))
    path.with_name(".characters.json.lock").mkdir()
    with pytest.raises(LocalDatabaseError, match="cannot be written"):
        fix(path)


def test_a_text_at_any_depth_is_written_and_no_other_character_changes(path: Path) -> None:
    text = (
        '{\n  "rem": {"name": "Rem", "lists": [[{"p": "OLD"}, 1.50], []],\n'
        '    "media": {"assets": [ {"title":"primary","frames":[{"path":"OLD"}]} ], "é": 1e3}\n  }\n}\n'
    )
    path.write_bytes(text.encode())
    store = database(path)
    [found] = store.read(["rem"])
    fields = json.loads(text.replace("OLD", NEW))["rem"]
    changed = {name: fields[name] for name in ("lists", "media")}
    store.update("rem", changed, if_update_time=found.update_time)
    assert path.read_bytes() == text.replace("OLD", NEW).encode()
