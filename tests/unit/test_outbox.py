"""The outbox: notes that outlive the process, whole or not at all, and what a run does with them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from reconcile.adapters.state.outbox import Outbox
from reconcile.core.errors import SourceError
from reconcile.core.notes import Note, NotedMap
from reconcile.core.plan import Scope
from reconcile.core.rules import AssetMap
from reconcile.pipeline.planner import survey
from tests.kit.windows import on_each_system  # noqa: F401
from tests.kit.world import PRIMARY, World, rule, titled, windows

MUSIC = rule("music", "music/*.mp3", "ai_music")
IMAGE = rule("image", "characters/{char_id}.png", "anime_image")
COSPLAY = rule("cosplay", "characters/{char_id}_cosplay.png", "cosplay_image")
REMIX = rule("remix", "remixes/{char_id}*/**/REMIX_*.mp4", "deliverable")
RULES = AssetMap((COSPLAY, IMAGE, REMIX, MUSIC))

HOSTILE = ["a.png", "[kpop]_x.mp4", "new\nline.png", "\x1b[31mred.png", "../../etc/passwd", "x" * 3000, "é/e\u0301.png"]
posix_only = pytest.mark.posix("file modes and links are POSIX's")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


# -- the notes on disk --


def test_what_is_noted_is_read_back_by_another_process(tmp_path: Path) -> None:
    notes = [Note(name, "ai_hoshino", "anime_image") for name in HOSTILE]
    Outbox(tmp_path).add(notes)

    assert Outbox(tmp_path).notes() == tuple(sorted(notes, key=lambda note: note.path))


def test_a_note_of_the_same_file_replaces_the_other(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.add([Note("a.png", "rem")])
    outbox.add([Note("a.png", "rem_2"), Note("b.png")])

    assert outbox.notes() == (Note("a.png", "rem_2"), Note("b.png"))


def test_removing_leaves_what_was_noted_otherwise_since(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.add([Note("a.png", "rem"), Note("b.png")])
    outbox.add([Note("a.png", "rem_2")])
    outbox.remove([Note("a.png", "rem"), Note("b.png"), Note("c.png")])

    assert outbox.notes() == (Note("a.png", "rem_2"),)


@posix_only
def test_only_its_owner_can_read_a_note_and_git_never_sees_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Outbox(tmp_path).add([Note("a.png")])
        Outbox(tmp_path).failed()
    finally:
        os.umask(before)
    folder = tmp_path / ".reconcile"

    assert (folder / ".gitignore").read_text() == "*\n"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder / "outbox").iterdir()}
    assert modes == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "outbox")} == {0o700}


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff\xfe", b"[]", b'{"format":"reconcile.note/2","note":{"path":"z"}}']
)
def test_a_damaged_note_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    outbox = Outbox(tmp_path)
    outbox.add([Note("a.png")])
    (tmp_path / ".reconcile" / "outbox" / "0123.json").write_bytes(damage)

    assert outbox.notes() == (Note("a.png"),)


def test_a_process_killed_while_it_writes_leaves_whole_notes_only(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from reconcile.adapters.state.outbox import Outbox; from reconcile.core.notes import Note\n"
        "box = Outbox(Path(sys.argv[1])); n = 0\n"
        "while True:\n"
        "    box.add([Note(f'{n % 7}.png', f'char_{n}')]); n += 1\n"
        "    if n == 20: print('going', flush=True)\n"
    )
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline().strip() == b"going"
        child.kill()
        child.communicate()
        assert [note.path for note in Outbox(tmp_path).notes()] == [f"{n}.png" for n in range(7)]


def test_threads_that_note_the_same_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: outbox.add([Note("a.png", f"char_{n}"), Note(f"{n}.png")]), range(40)))

    notes = outbox.notes()
    assert len(notes) == 41
    assert len(list((tmp_path / ".reconcile" / "outbox").iterdir())) == 41


def test_a_place_that_cannot_be_written_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / ".reconcile").write_text("a file where the folder belongs")
    with pytest.raises(SourceError, match="outbox") as caught:
        Outbox(tmp_path).add([Note("a.png")])

    assert caught.value.hint
    assert Outbox(tmp_path).notes() == ()


def test_a_failure_is_remembered_for_a_while_by_every_process(tmp_path: Path) -> None:
    clock = Clock()
    outbox = Outbox(tmp_path, clock)
    assert not outbox.failed_within(30)
    outbox.failed()
    clock.now += 29
    assert Outbox(tmp_path, clock).failed_within(30)
    clock.now += 2
    assert not outbox.failed_within(30)
    assert outbox.failed_within(32)


def test_a_failure_is_forgotten_when_the_cloud_is_back_or_the_clock_was_set(tmp_path: Path) -> None:
    clock = Clock()
    outbox = Outbox(tmp_path, clock)
    outbox.failed()
    clock.now -= 3600
    assert not outbox.failed_within(30)
    outbox.failed()
    outbox.mended()
    assert not outbox.failed_within(30)
    assert not outbox.failed_within(1e9)


def test_a_note_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.add([Note("a.png")])
    written = b'{"format":"reconcile.note/1","note":{"path":"b.png","char_id":"rem","asset_type":null}}'
    (tmp_path / ".reconcile" / "outbox" / "0123.json").write_bytes(written)
    assert outbox.notes() == (Note("a.png"), Note("b.png", "rem"))


VIDEO, ICON = ("primary", "dance_video"), ("primary", "icon")


def test_a_place_is_given_to_one_file_the_last(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.add([Note("a.mp4", "rem", places=(VIDEO, ICON)), Note("c.mp4", "ai", places=(VIDEO,))])
    outbox.add([Note("b.mp4", "rem", places=(VIDEO,))])

    assert outbox.notes() == (
        Note("a.mp4", "rem", places=(ICON,)),
        Note("b.mp4", "rem", places=(VIDEO,)),
        Note("c.mp4", "ai", places=(VIDEO,)),
    )
    outbox.overtake([Note("x.mp4", "rem", places=(VIDEO, ICON))])
    assert outbox.notes()[:2] == (Note("a.mp4", "rem"), Note("b.mp4", "rem"))


def test_a_file_keeps_its_places_when_it_is_noted_again(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.add([Note("a.mp4", "rem", places=(VIDEO,))])
    outbox.add([Note("a.mp4", "rem", "dance", places=(ICON,))])
    assert outbox.notes() == (Note("a.mp4", "rem", "dance", (VIDEO, ICON)),)
    outbox.add([Note("a.mp4", "ai")])
    assert outbox.notes() == (Note("a.mp4", "ai"),)


NOTING = """
import sys
from pathlib import Path
from reconcile.adapters.state.outbox import Outbox
from reconcile.core.notes import Note
box, who = Outbox(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    box.add([Note("a.mp4", "rem", places=(("primary", f"{who}_{number}"),))])
"""


def noting(folder: Path, who: str, times: int) -> subprocess.Popen[str]:
    """A process that notes one file for one field after the other, once it is told to begin."""
    child = subprocess.Popen(
        [sys.executable, "-c", NOTING, str(folder), who, str(times)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def begin(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()


def fields(notes: Iterable[Note]) -> set[str]:
    return {field for note in notes for _, field in note.places}


def test_processes_that_note_fields_of_one_file_lose_none(tmp_path: Path) -> None:
    children = [noting(tmp_path, who, 60) for who in ("x", "y", "z")]
    for child in children:
        begin(child)
    for child in children:
        child.communicate(timeout=120)
        assert child.returncode == 0
    assert fields(Outbox(tmp_path).notes()) == {f"{who}_{number}" for who in "xyz" for number in range(60)}


def test_a_run_that_clears_what_it_read_loses_no_field_that_is_noted_meanwhile(tmp_path: Path) -> None:
    outbox, cleared = Outbox(tmp_path), set[str]()
    children = [noting(tmp_path, who, 150) for who in ("x", "y")]
    for child in children:
        begin(child)
    while any(child.poll() is None for child in children):
        read = outbox.notes()
        cleared |= fields(read)
        outbox.remove(read)
    for child in children:
        child.communicate()
        assert child.returncode == 0
    assert cleared | fields(outbox.notes()) == {f"{who}_{number}" for who in "xy" for number in range(150)}


def test_a_note_that_was_neither_read_nor_added_here_is_another_workflows(tmp_path: Path) -> None:
    note = Note("a.png", "rem")
    Outbox(tmp_path).add([note])
    Outbox(tmp_path).remove([note])
    assert Outbox(tmp_path).notes() == (note,)


def test_only_the_very_note_that_was_read_is_removed(tmp_path: Path) -> None:
    run, workflow = Outbox(tmp_path), Outbox(tmp_path)
    workflow.add([Note("a.mp4", "rem", places=(VIDEO,))])
    read = run.notes()
    workflow.add([Note("a.mp4", "rem", places=(VIDEO,))])  # the file was made anew
    run.remove(read)
    assert workflow.notes() == read
    run.remove(run.notes())
    assert workflow.notes() == ()


def test_a_note_is_made_although_another_process_stays_in_the_outbox_and_none_is_removed(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, patience=0.0)
    outbox.add([Note("a.mp4", "rem")])
    with FileLock(tmp_path / ".reconcile" / "outbox.lock"):
        outbox.remove(outbox.notes())
        outbox.add([Note("b.mp4", "rem")])
    assert [note.path for note in outbox.notes()] == ["a.mp4", "b.mp4"]


# -- what a note adds to the map --


def noted(*notes: Note) -> NotedMap:
    return NotedMap.over(RULES, notes)


def test_a_note_says_whose_a_file_without_an_id_is() -> None:
    assert RULES.read("music/a.mp3", {"rem"}).characters == ()  # type: ignore[union-attr]
    reading = noted(Note("music/a.mp3", "rem")).read("music/a.mp3", {"ai"})
    assert reading is not None
    assert (reading.rule.type, reading.char_id, reading.entry_for("rem")) == ("music", "rem", "primary")


def test_a_note_settles_which_of_two_characters_it_is() -> None:
    path, known = "characters/mei_cosplay.png", {"mei", "mei_cosplay"}
    assert RULES.read(path, known).is_ambiguous  # type: ignore[union-attr]
    for char_id, asset_type in (("mei", "cosplay"), ("mei_cosplay", "image")):
        reading = noted(Note(path, char_id)).read(path, known)
        assert reading is not None
        assert (reading.rule.type, reading.char_id) == (asset_type, char_id)
        by_type = noted(Note(path, None, asset_type)).read(path, known)
        assert by_type is not None
        assert (by_type.rule.type, by_type.char_id) == (asset_type, char_id)


@pytest.mark.parametrize("known", [{"rem_2"}, {"rem", "rem_2"}])
def test_a_note_never_gives_away_what_the_path_says_is_a_known_characters(known: set[str]) -> None:
    path = "characters/rem_2.png"
    assert noted(Note(path, "rem")).read(path, known) == RULES.read(path, known)
    ambiguous = "characters/mei_cosplay.png"
    both = {"mei", "mei_cosplay"}
    assert noted(Note(ambiguous, "rem")).read(ambiguous, both) == RULES.read(ambiguous, both)


def test_a_note_gives_no_rule_to_a_file_that_none_takes() -> None:
    assert noted(Note("notes/a.txt", "rem", "music")).read("notes/a.txt", {"rem"}) is None


def test_a_scope_of_the_character_reaches_the_noted_file() -> None:
    path = "remixes/shared/x/REMIX_1.mp4"
    plain, with_note = RULES, noted(Note(path, "rem"), Note("music/b.mp3"))
    assert not path.startswith(plain.path_prefixes(["rem"]))
    assert path.startswith(with_note.path_prefixes(["rem"]))
    assert path.startswith(with_note.key_prefixes(["rem"]))
    assert not path.startswith(with_note.path_prefixes(["ai"]))
    assert with_note.character_in_name(path) == "rem"
    assert path in with_note.whole_name_prefixes("rem")
    assert path not in with_note.whole_name_prefixes("ai")


def test_a_later_note_of_the_same_file_goes_before_an_earlier_one() -> None:
    both = NotedMap.over(noted(Note("music/a.mp3", "rem")), [Note("music/a.mp3", "ai")])
    reading = both.read("music/a.mp3", ())
    assert reading is not None
    assert reading.char_id == "ai"


# -- what a run does with it --


class Box:
    """The outbox of a world in memory."""

    def __init__(self) -> None:
        self.removed: list[Note] = []

    def remove(self, notes: object) -> None:
        assert isinstance(notes, tuple)
        self.removed += notes


def world_with(*notes: Note) -> tuple[World, Box]:
    world, box = World([COSPLAY, IMAGE, REMIX, MUSIC]), Box()
    world.outbox = box  # type: ignore[assignment]
    world.note(*notes)
    return world, box


MINE = Note("music/a.mp3", "rem", "music")


@pytest.mark.parametrize("scope", [(), ("rem",)])
def test_the_next_run_gives_the_file_to_its_character_and_the_one_after_forgets_the_note(
    scope: tuple[str, ...],
) -> None:
    world, box = world_with(MINE)
    uri = world.file("music/a.mp3")
    world.record("rem", titled())
    world.record("ai", titled())
    world.apply(world.plan(*scope))

    assert world.entries("rem") == [titled(ai_music=uri)]
    assert box.removed == []
    again = world.plan(*scope)
    assert again.actions == ()
    assert box.removed == [], "a plan deletes nothing"
    world.apply(again)
    assert box.removed == [MINE]
    assert world.noted == ()


def test_without_the_note_nobody_gets_it() -> None:
    world = World([COSPLAY, IMAGE, REMIX, MUSIC])
    world.file("music/a.mp3")
    world.record("rem", titled())

    assert [action.key for action in world.plan().actions] == ["music/a.mp3"]
    world.apply(world.plan())
    assert world.entries("rem") == [titled()]


@pytest.mark.parametrize("scope", [(), ("rem",)])
@pytest.mark.parametrize("held", ["gs", "windows", "dangling", "foreign", "none"])
@pytest.mark.parametrize("field", ["anime_image", "poster"])
def test_a_place_goes_before_what_the_record_holds(scope: tuple[str, ...], held: str, field: str) -> None:
    note = Note("characters/rem.png", "rem", places=((PRIMARY, field),))
    world, box = world_with(note)
    uri = world.file("characters/rem.png", b"new")
    old = world.file("characters/rem_cosplay.png", b"old")
    world.object("characters/rem_cosplay.png", b"old")
    texts = {
        "gs": old,
        "windows": windows("characters/rem_cosplay.png"),
        "dangling": old.replace("rem_cosplay", "lost"),
        "foreign": "https://example.com/x.png",
    }
    world.record("rem", titled(**({field: texts[held]} if held != "none" else {})))
    world.apply(world.plan(*scope))
    assert world.entries("rem")[0][field] == uri
    assert world.plan(*scope).actions == ()
    world.apply(world.plan(*scope))
    assert box.removed == [note]


@pytest.mark.parametrize("held", ["nothing", "another", "both"])
def test_a_place_that_holds_a_list_gets_one_more(held: str) -> None:
    note = Note("music/b.mp3", "rem", places=((PRIMARY, "ai_music"),))
    world, box = World([rule("music", "music/*.mp3", "ai_music", many="list")]), Box()
    world.outbox = box  # type: ignore[assignment]
    world.note(note)
    other, uri = world.file("music/a.mp3"), world.file("music/b.mp3")
    lists: dict[str, list[str]] = {"nothing": [], "another": [other], "both": [other, uri]}
    world.record("rem", titled(ai_music=lists[held]))
    world.apply(world.plan())
    assert uri in world.entries("rem")[0]["ai_music"]
    assert set(lists[held]) <= set(world.entries("rem")[0]["ai_music"])
    assert world.plan().actions == ()
    world.apply()
    assert box.removed == [note]


def test_a_note_is_kept_until_its_place_has_it() -> None:
    note = Note("characters/rem.png", "rem", places=((PRIMARY, "anime_image"),))
    world, box = world_with(note)
    world.file("characters/rem.png")
    world.object("characters/rem.png")
    world.record("rem", titled(), titled())  # two maps of one title: a person must say
    world.apply()
    assert box.removed == []


def test_a_place_is_one_of_its_own_character_only() -> None:
    world, _ = world_with(Note("characters/rem_2.png", "rem", places=((PRIMARY, "anime_image"),)))
    world.file("characters/rem_2.png")
    world.record("rem", titled())
    world.record("rem_2", titled())
    assert {action.char_id for action in world.plan().actions} == {"rem_2"}


def test_a_run_for_another_character_leaves_the_note() -> None:
    world, box = world_with(MINE)
    world.file("music/a.mp3")
    for char_id in ("rem", "ai"):
        world.record(char_id, titled())

    assert world.apply(world.plan("ai")).outcomes == ()
    assert box.removed == []


def test_a_run_of_some_types_decides_no_note() -> None:
    world, box = world_with(MINE)
    world.file("music/a.mp3")
    world.object("music/a.mp3")
    world.record("rem", titled())

    assert world.apply(world.plan(types=["image"])).outcomes == ()
    assert box.removed == []


def test_a_note_waits_for_the_record_of_its_character() -> None:
    world, box = world_with(MINE)
    world.file("music/a.mp3")
    world.apply(world.plan())
    world.apply()
    assert box.removed == []
    world.record("rem", titled())
    world.apply(world.plan())
    world.apply()
    assert box.removed == [MINE]


def test_a_note_of_a_file_that_is_gone_is_forgotten() -> None:
    world, box = world_with(MINE)
    world.file("characters/rem.png")
    world.record("rem", titled())
    world.apply()

    assert box.removed == [MINE]


def test_a_note_is_kept_while_a_folder_cannot_be_read() -> None:
    from reconcile.core.rows import FileProblem

    world, box = world_with(MINE)
    world.file("music/a.mp3")
    world.files.stops["music/"] = FileProblem.UNREADABLE
    world.record("rem", titled())
    world.apply()

    assert box.removed == []


def test_a_scoped_plan_with_notes_is_the_part_of_the_whole_one() -> None:
    notes = (Note("remixes/shared/x/REMIX_1.mp4", "rem"), Note("characters/mei_cosplay.png", "mei"), MINE)
    world, _ = world_with(*notes)
    for path in (*(note.path for note in notes), "characters/rem_2.png", "remixes/rem_2_a/REMIX_2.mp4"):
        world.file(path)
    for char_id in ("rem", "rem_2", "mei", "mei_cosplay", "shar"):
        world.record(char_id, titled())
    whole = survey(world).plan.actions
    for char_id in ("rem", "rem_2", "mei", "mei_cosplay"):
        part = survey(world, Scope(char_ids=(char_id,))).plan.actions
        assert part == tuple(action for action in whole if action.char_id == char_id), char_id
