"""What the rules make of the texts of records: what they take, and what they leave unread and why."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconcile.commands.trials import against_records
from reconcile.core.changes import SetField
from reconcile.core.rows import Document
from reconcile.core.unread import EXAMPLES, GROUPS, TAKEN, AgainstRecords, Judged, TextExample, TextVerdict
from tests.kit.small_project import LOCAL_PATH, open_records
from tests.kit.world import WINDOWS_ROOT, World, titled, windows

KEY = "characters/rem.png"
BUCKET = "gs://my-bucket/anime_dance"
IMAGE = "anime_image"
OURS = f"{WINDOWS_ROOT}\\"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def judged(found: AgainstRecords) -> list[Judged]:
    """What became of the texts, without their number."""
    return [Judged(each.verdict, each.type, each.root, each.named) for each in found.groups]


CASES = [
    (IMAGE, windows(KEY), Judged(TextVerdict.TAKEN, IMAGE, WINDOWS_ROOT)),
    (IMAGE, windows(KEY).upper(), Judged(TextVerdict.TAKEN, IMAGE, WINDOWS_ROOT)),
    (IMAGE, "output/characters/rem.png", Judged(TextVerdict.TAKEN, IMAGE, "output")),
    (IMAGE, f"{BUCKET}/{KEY}", Judged(TextVerdict.TAKEN, IMAGE, BUCKET)),
    (IMAGE, f' "{BUCKET}/{KEY}" ', Judged(TextVerdict.TAKEN, IMAGE, BUCKET)),
    ("portrait", windows(KEY), Judged(TextVerdict.TAKEN, IMAGE, WINDOWS_ROOT, named=False)),
    (IMAGE, KEY, Judged(TextVerdict.BY_ITS_END, IMAGE)),
    (IMAGE, f"D:\\old\\{KEY}".replace("/", "\\"), Judged(TextVerdict.BY_ITS_END, IMAGE, "D:\\old")),
    (IMAGE, f"/mnt/nas/{KEY}", Judged(TextVerdict.BY_ITS_END, IMAGE, "/mnt/nas")),
    (IMAGE, f"{OURS}pictures\\rem.bmp", Judged(TextVerdict.NO_RULE, None, WINDOWS_ROOT)),
    (IMAGE, f"{BUCKET}/pictures/rem.bmp", Judged(TextVerdict.NO_RULE, None, BUCKET)),
    (IMAGE, f"{OURS}characters\\.thumbs\\rem.png", Judged(TextVerdict.LEFT_OUT, None, WINDOWS_ROOT)),
    (IMAGE, "D:\\pictures\\rem.png", Judged(TextVerdict.OUTSIDE_ROOT)),
    (IMAGE, "\\\\nas\\share\\rem.png", Judged(TextVerdict.OUTSIDE_ROOT)),
    ("portrait", "D:\\pictures\\rem.png", Judged(TextVerdict.OUTSIDE_ROOT, named=False)),
    (IMAGE, f"{OURS}..\\rem.png", Judged(TextVerdict.CLIMBS_OUT)),
    (IMAGE, "../../rem.png", Judged(TextVerdict.CLIMBS_OUT)),
    (IMAGE, "C:\\nul", Judged(TextVerdict.DEVICE)),
    (IMAGE, f"made {windows(KEY)} and {windows(KEY)}", Judged(TextVerdict.LONGER_TEXT)),
    (IMAGE, WINDOWS_ROOT, Judged(TextVerdict.LONGER_TEXT)),
    (IMAGE, "gs://other-bucket/rem.png", Judged(TextVerdict.OTHER_BUCKET)),
    (IMAGE, "gs://my-bucket/elsewhere/rem.png", Judged(TextVerdict.OTHER_BUCKET)),
    ("portrait", "gs://other-bucket/rem.png", Judged(TextVerdict.OTHER_BUCKET, named=False)),
    (IMAGE, "rem.bmp.png", Judged(TextVerdict.NO_RULE)),
]


@pytest.mark.parametrize(("field", "text", "expected"), CASES, ids=[ascii(case[1]) for case in CASES])
def test_a_text_is_taken_or_left_unread_for_a_reason_and_a_plan_does_the_same(
    world: World, field: str, text: str, expected: Judged
) -> None:
    world.record("rem", titled(**{field: text}))
    found = against_records(world)
    assert judged(found) == [expected]
    assert (found.documents, found.texts, found.taken) == (1, 1, int(expected.verdict in TAKEN))
    assert found.groups[0].examples == (TextExample("characters/rem", f"primary › {field}", text),)
    if expected.verdict in (TextVerdict.NO_RULE, TextVerdict.LEFT_OUT):
        return  # it leads to nothing, so the file that claims the field gets it
    world.file(KEY)
    changed = [each for each in world.plan().actions if isinstance(each, SetField) and each.old == text]
    is_taken = expected.verdict in TAKEN and text != f"{BUCKET}/{KEY}"
    assert [(each.field, each.key) for each in changed] == ([(field, KEY)] if is_taken else [])


@pytest.mark.parametrize("text", ["  ", "Rem", "ask Ken", "https://example.com/rem.png", "and/or", "12/24", "*.png"])
@pytest.mark.parametrize("field", ["note", "nickname"])
def test_what_does_not_look_like_a_path_is_not_counted(world: World, field: str, text: str) -> None:
    world.record("rem", titled(**{field: text}), about={"more": [text]})
    assert against_records(world).texts == 0


def test_a_note_in_a_field_that_a_rule_writes_is_no_path(world: World) -> None:
    world.record("rem", titled(anime_image="ask Ken"))
    assert against_records(world).texts == 0


def test_texts_at_every_depth_are_judged_and_a_web_path_is_not(world: World) -> None:
    deep = {"a": [{"b": windows(KEY), "c": "/api/v1/rem", windows(KEY): 1}], "d": "E:\\x\\rem.png"}
    world.record("rem", titled(many=[windows(KEY), 3, None]), deep=deep)
    found = against_records(world)
    assert {(each.verdict, each.count) for each in found.groups} == {
        (TextVerdict.TAKEN, 2),
        (TextVerdict.MAP_NAME, 1),
        (TextVerdict.OUTSIDE_ROOT, 1),
    }
    places = {example.place for each in found.groups for example in each.examples}
    assert "primary › many › 0" in places
    assert "deep › a › 0 › C:\\oo\\bar\\output\\characters\\rem.png" in places


def test_a_record_whose_entries_are_malformed_is_read_all_the_same(world: World) -> None:
    world.records.put("rem", {"assets": {"primary": {"anime_image": windows(KEY)}}})
    assert judged(against_records(world)) == [Judged(TextVerdict.TAKEN, IMAGE, WINDOWS_ROOT, named=False)]


def test_neither_a_file_nor_the_bucket_is_looked_at(world: World) -> None:
    world.record("rem", titled(anime_image=windows(KEY)))
    world.files.gone = True
    world.objects.close()
    assert against_records(world).taken == 1


class Fields(dict[str, Any]):
    """A document's fields, of which it can be told whether anybody still holds them."""


def test_what_is_held_has_an_end_however_many_records_there_are(world: World) -> None:
    texts, held, most = 3 * GROUPS, deque[weakref.ref[Fields]](maxlen=100), 0

    class Many:
        """Records that each speak of a folder of their own."""

        def read(self) -> Iterator[Document]:
            nonlocal most
            for number in range(texts):
                path = f"D:\\folder {number}\\characters\\rem{number}.png"
                fields = Fields(assets=[titled(anime_image=path)])
                held.append(weakref.ref(fields))
                yield Document(f"rem{number}", fields, "t")
                most = max(most, sum(each() is not None for each in held))

    world.records = Many()  # type: ignore[assignment]
    found = against_records(world)
    assert (found.documents, found.texts, found.taken) == (texts, texts, texts)
    assert len(found.groups) == GROUPS + 1
    assert found.groups[0].root is None
    assert found.groups[0].count == texts - GROUPS
    assert all(len(each.examples) <= EXAMPLES for each in found.groups)
    assert most <= 2


# -- the command --


def unread(project: Path) -> None:
    records = open_records(project)
    records.put("mei", {"assets": [titled(anime_image="D:\\old\\mei.png", note=f"see {LOCAL_PATH} and {LOCAL_PATH}")]})
    records.close()


def test_rules_check_says_what_the_records_hold_that_no_rule_reads(run: Any, project: Path) -> None:
    unread(project)
    answer = run("rules", "check", "--against-records")
    assert answer.code == 0
    assert "3 records, in which 4 texts look like a path or a URI: 2 taken, 2 left unread.\n" in answer.out
    assert "  Anime Image  1  C:\\oo\\bar\\output\n" in answer.out
    assert "\noutside_root (1): below no root, and no rule matches their end\n  To do: put the folder" in answer.out
    assert "\n      characters/mei primary › anime_image  D:\\old\\mei.png\n" in answer.out
    assert "\nlonger_text (1): " in answer.out
    document = run("rules", "check", "--against-records", "--json").document("rules")["records"]
    assert (document["documents"], document["texts"], document["taken"]) == (3, 4, 2)
    assert {each["verdict"]: each["count"] for each in document["groups"]} == {
        "taken": 1,
        "outside_root": 1,
        "longer_text": 1,
    }


def test_rules_check_alone_reads_no_store_and_notices_a_root_that_is_not_there(run: Any, project: Path) -> None:
    (project / "output").rename(project / "elsewhere")
    (project / "stores").rename(project / "away")
    answer = run("rules", "check")
    assert answer.code == 0
    assert "(not there: mount its drive, or set root)" in answer.out
    assert "taken" not in answer.out
    document = run("rules", "check", "--json").document("rules")
    assert (document["root_is_there"], document["records"]) == (False, None)


def test_records_that_cannot_be_read_are_an_error_and_no_half_of_an_answer(run: Any, project: Path) -> None:
    for file in (project / "stores" / "my-project").rglob("*.*"):
        file.write_bytes(b"no database")
    answer = run("rules", "check", "--against-records", "--json")
    assert answer.code == 1
    assert answer.document("error")["code"]
