"""undo: record fields go back to what they were before a run, where nobody has changed them since; all else stays."""

from __future__ import annotations

import copy
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconcile import Project
from reconcile.commands.undo import LAST, Undoing, execute, find_run, survey
from reconcile.core.errors import JournalError, UsageError
from reconcile.core.history import UNFINISHED, PastOutcome, past_run, touches
from reconcile.core.journal import Touched
from reconcile.core.plan import Scope
from reconcile.core.report import OutcomeKind, Report, Status
from reconcile.core.revert import revert
from reconcile.core.way import Entries, Way
from tests.kit.world import World, codes, kinds, outcomes, titled, windows

EVERYTHING = Scope()
ANIME = "characters/ai.png"
COSPLAY = "characters/ai_cosplay.png"


def studio() -> World:
    """A character whose record holds a local path, a null, and lacks a field; another one without a map at all."""
    world = World()
    world.file(ANIME)
    world.file(COSPLAY)
    world.file("dances/dance_ai_1.mp4")
    world.file("characters/rem.png")
    world.record("ai", titled(anime_image=windows(ANIME), dance_video=None, note="keep", n=1))
    world.record("rem", titled("other", note="x"))
    return world


def fields(world: World) -> dict[str, Any]:
    return {each: copy.deepcopy(held[0]) for each, held in world.records.all().items()}


def undoing(world: World, name: str = LAST, scope: Scope = EVERYTHING) -> Undoing:
    return survey(world, find_run(world.journal, name), scope)


def undo(world: World, name: str = LAST) -> Report:
    return execute(world, undoing(world, name))


def test_the_records_are_as_they_were_before_the_run() -> None:
    world = studio()
    before = fields(world)
    assert world.apply().status is Status.SUCCESS
    assert fields(world) != before
    objects = world.objects.all()
    report = undo(world)
    assert report.status is Status.SUCCESS
    assert fields(world) == before
    assert world.objects.all() == objects


def test_undone_twice_it_does_nothing_the_second_time() -> None:
    world = studio()
    run = world.apply().run_id
    undo(world, run)
    writes = len(world.writes())
    again = undoing(world, run)
    assert again.plan.actions == ()
    assert execute(world, again).status is Status.SUCCESS
    assert len(world.writes()) == writes


def test_an_undo_can_be_undone() -> None:
    world = studio()
    world.apply()
    after = fields(world)
    undo(world)
    undo(world)
    assert fields(world) == after
    assert world.plan().actions == ()


def test_what_somebody_changed_since_stays_and_is_named() -> None:
    world = studio()
    world.apply()
    entry = {**world.entries("ai")[0], "anime_image": "gs://elsewhere/x.png"}
    world.records.put("ai", {"name": "Ai", "assets": [entry]})
    made = undoing(world)
    assert "changed_since" in codes(made.plan)
    execute(world, made)
    assert world.entries("ai")[0]["anime_image"] == "gs://elsewhere/x.png"
    assert "cosplay_image" not in world.entries("ai")[0]


def test_a_field_that_is_written_between_the_plan_and_the_undo_is_stale() -> None:
    world = studio()
    world.apply()
    made = undoing(world)
    entry = {**world.entries("ai")[0], "anime_image": "gs://elsewhere/x.png"}
    world.records.put("ai", {"name": "Ai", "assets": [entry]})
    report = execute(world, made)
    assert report.status is Status.STALE
    assert outcomes(report)[ANIME] is OutcomeKind.STALE
    assert world.entries("ai")[0]["anime_image"] == "gs://elsewhere/x.png"


def test_an_order_that_was_changed_and_maps_that_were_added_do_not_matter() -> None:
    world = studio()
    world.apply()
    world.records.put("ai", {"name": "Ai", "assets": [titled("new", a=1), *world.entries("ai")]})
    undo(world)
    assert world.entries("ai") == [
        titled("new", a=1),
        titled(anime_image=windows(ANIME), dance_video=None, note="keep", n=1),
    ]


def test_a_map_that_the_run_added_and_somebody_filled_keeps_what_is_theirs() -> None:
    world = studio()
    world.apply()
    mine = next(entry for entry in world.entries("rem") if entry["title"] == "primary")
    world.records.put("rem", {"name": "Rem", "assets": [titled("other", note="x"), {**mine, "note": "theirs"}]})
    undo(world)
    assert world.entries("rem") == [titled("other", note="x"), titled(note="theirs")]


def test_a_record_that_is_gone_is_left_alone() -> None:
    world = studio()
    world.apply()
    world.records.remove("ai")
    assert "changed_since" in codes(undoing(world).plan)
    assert undo(world).status is Status.SUCCESS
    assert "ai" not in fields(world)


def test_a_record_that_the_run_made_stays() -> None:
    world = World(local_db=True)
    world.file(ANIME)
    world.local("ai", titled(anime_image=windows(ANIME)))
    world.apply()
    made = undoing(world, "2")
    assert codes(made.plan) == ["objects_stay", "record_stays"]
    assert made.plan.actions == ()
    assert "ai" in fields(world)


def test_the_local_database_goes_back_too() -> None:
    world = World(rewrite=True)
    world.file(ANIME)
    world.record("ai", titled(anime_image=windows(ANIME)))
    world.local("ai", titled(anime_image=windows(ANIME)))
    assert world.local_db is not None
    before = world.local_db.fields("ai")
    world.apply()
    assert world.local_db.fields("ai") != before
    assert kinds(undoing(world).plan) == ["set_field", "rewrite_local_db"]
    undo(world)
    assert world.local_db.fields("ai") == before


def test_what_a_field_held_is_not_put_back_where_its_object_is_gone() -> None:
    """Undo of an undo would else point the record at nothing."""
    world = studio()
    world.apply()
    undo(world)
    world.objects.remove(ANIME)
    made = undoing(world)
    assert codes(made.plan) == ["missing_asset"]
    execute(world, made)
    assert world.entries("ai")[0]["anime_image"] == windows(ANIME)
    assert world.entries("ai")[0]["cosplay_image"] == world.uri(COSPLAY)


def test_an_object_that_goes_between_the_plan_and_the_undo_is_noticed() -> None:
    world = studio()
    world.apply()
    undo(world)
    made = undoing(world)
    world.objects.remove(ANIME)
    report = execute(world, made)
    assert outcomes(report)[ANIME] is OutcomeKind.BLOCKED
    assert world.entries("ai")[0]["anime_image"] == windows(ANIME)


def test_a_map_that_the_run_added_goes_with_its_last_field_whatever_the_order() -> None:
    world = World()
    world.file("characters/rem.png")
    world.file("characters/rem_cosplay.png")
    world.record("rem", titled("other", note="x"))
    world.apply()
    for asset_type in ("anime_image", "cosplay_image"):
        execute(world, undoing(world, world_run(world), Scope((), (asset_type,))))
    assert world.entries("rem") == [titled("other", note="x")]


def world_run(world: World) -> str:
    """The first run."""
    return next(iter(world.journal.files))


def test_of_two_maps_with_one_title_each_gets_its_own_back() -> None:
    world = World()
    world.file(ANIME)
    slashes = windows(ANIME).replace("\\", "/")
    world.record("ai", titled(anime_image=windows(ANIME)), titled(anime_image=slashes))
    before = fields(world)
    world.apply()
    undo(world)
    assert fields(world) == before


def test_of_two_maps_with_one_title_neither_gets_the_other_s() -> None:
    world = World()
    world.file(ANIME)
    slashes = windows(ANIME).replace("\\", "/")
    world.record("ai", titled(anime_image=windows(ANIME)), titled(anime_image=slashes))
    world.apply()
    world.records.put("ai", {"name": "Ai", "assets": [world.entries("ai")[1]]})
    made = undoing(world)
    assert set(codes(made.plan)) == {"changed_since", "objects_stay"}
    execute(world, made)
    assert world.entries("ai") == [titled(anime_image=world.uri(ANIME))]


def test_runs_of_one_second_are_told_in_their_order() -> None:
    world = studio()
    ids = []
    for number in range(5):
        world.file(f"characters/ai{number}.png")
        ids.append(world.apply().run_id)
    assert sorted(ids) == ids


def test_a_journal_cannot_make_undo_write_what_tells_maps_apart_or_anything_but_texts_and_lists() -> None:
    world = studio()
    run = world.apply().run_id
    whole = world.journal.files[run]
    after = fields(world)
    forged = whole.replace(b'"before":"C:', b'"before":{"evil":true},"was":"C:')
    assert forged != whole
    world.journal.files[run] = forged.replace(b'"field":"cosplay_image"', b'"field":"title"')
    execute(world, undoing(world, run))
    kept = {entry.get("title") for document in fields(world).values() for entry in document["assets"]}
    assert kept == {entry.get("title") for document in after.values() for entry in document["assets"]}
    assert "evil" not in str(fields(world))


def test_a_journal_whose_line_names_two_places_for_an_index_changes_the_field_that_it_names() -> None:
    line = Touched(
        id="x", entry=None, position=None, field="types", before=["icon"], had=True, after=[], has=True, at=("other",)
    )

    assert revert({"types": ["icon"]}, [line], Entries(("assets",), "title")).fields == {"types": []}


@pytest.mark.parametrize(
    ("at", "before", "after"),
    [(("a", "b"), {"q": 1}, "z"), (("a", "b"), "z", [[]]), (("types",), [{}], ["icon"]), (("types",), ["icon"], 5)],
)
def test_a_journal_of_values_that_no_run_writes_changes_nothing(at: Way, before: Any, after: Any) -> None:
    line = Touched(
        id="x", entry=None, position=None, field=str(at[-1]), before=before, had=True, after=after, has=True, at=at
    )
    made = revert({"a": {"b": "z"}, "types": ["icon"]}, [line], Entries(("assets",), "title"))

    assert (made.verdicts, made.fields) == ((OutcomeKind.STALE,), {})


def test_the_bucket_is_opened_only_for_a_field_that_is_to_name_an_object(project: Path, run: Any) -> None:
    assert run("apply", "--yes").code == 0
    with Project.open(project).opened() as opened:
        assert survey(opened, find_run(opened.journal, LAST), EVERYTHING).plan.actions
        assert "objects" not in vars(opened)


def test_only_the_characters_in_scope() -> None:
    world = studio()
    before = fields(world)
    world.apply()
    after = fields(world)
    execute(world, undoing(world, scope=Scope(("rem",))))
    assert fields(world) == {"ai": after["ai"], "rem": before["rem"]}


def test_a_list_and_a_note_that_stood_in_the_field_come_back() -> None:
    world = World()
    world.file(ANIME)
    world.record("ai", titled(gallery=[windows(ANIME), "note", 3, None]))
    before = fields(world)
    world.apply()
    undo(world)
    assert fields(world) == before


# -- which run --


def test_a_run_goes_by_its_id_by_its_beginning_and_by_last() -> None:
    world = studio()
    run = world.apply().run_id
    for name in (run, run[:-2], LAST):
        assert find_run(world.journal, name).run.run_id == run


@pytest.mark.parametrize("name", ["", "nonsense", "../../etc/passwd", LAST])
def test_a_run_that_is_not_there_is_a_sentence(name: str) -> None:
    with pytest.raises(UsageError, match="no run"):
        find_run(World().journal, name)


def test_two_runs_that_begin_alike_are_not_guessed_between() -> None:
    world = studio()
    world.apply()
    world.file("characters/rem_cosplay.png")
    world.apply()
    with pytest.raises(UsageError, match="2 runs begin"):
        find_run(world.journal, "2")


def test_a_run_on_other_stores_is_refused() -> None:
    world = studio()
    world.apply()
    past = find_run(world.journal, LAST)
    data = world.journal.files[past.run.run_id].replace(b"firestore://", b"firestore://other-")
    world.journal.files[past.run.run_id] = data
    with pytest.raises(UsageError, match="was on records"):
        undoing(world)


# -- what a journal tells --


def test_what_many_changes_are_told_by_is_not_held() -> None:
    world = studio()
    past = find_run(world.journal, world.apply().run_id)
    line = next(each for each in past.fields if each.touched)
    touched = tuple(msgspec.structs.replace(line.touched[0], id=f"{number}") for number in range(5_000))
    many = msgspec.structs.replace(past, fields=(msgspec.structs.replace(line, touched=touched),), outcomes=())
    tracemalloc.start()
    try:
        assert touches(many, Scope(char_ids=(line.document,)))
        assert tracemalloc.get_traced_memory()[1] < 250 * len(touched)
    finally:
        tracemalloc.stop()


def test_every_field_is_told_with_its_value_before_and_after() -> None:
    world = studio()
    report = world.apply()
    told = past_run(find_run(world.journal, report.run_id), Scope())
    assert told.status == "success"
    assert told.counts == report.counts
    changes = {change.field: change for change in told.changes or () if change.document == "ai"}
    assert changes["anime_image"].before == windows(ANIME)
    assert changes["anime_image"].after == world.uri(ANIME)
    assert (changes["cosplay_image"].had, changes["dance_video"].had) == (False, True)
    uploads = [change for change in told.changes or () if change.kind == "upload"]
    assert {change.uri for change in uploads} == {world.uri(key) for key in world.objects.all()}
    assert all(change.generation and change.generation_before == 0 for change in uploads)


def restored(*, keeps_source: bool = True) -> tuple[World, str]:
    """A run that copied an object, and set the type of another one; its id."""
    world = World()
    world.object("dances/dance_ai_old.mp4", b"dance")
    world.file("dances/dance_ai_new.mp4", b"dance")
    world.object(ANIME, b"image", "text/plain")
    world.record("ai", titled(anime_image=world.uri(ANIME)))
    plan = world.plan()
    assert kinds(plan) == ["copy", "set_metadata", "set_field"]
    if not keeps_source:
        world.objects.remove("dances/dance_ai_old.mp4")
    return world, world.apply(plan).run_id


def test_history_tells_where_an_object_was_copied_from_and_which_type_one_had() -> None:
    world, run_id = restored()
    told = {each.kind: each for each in past_run(find_run(world.journal, run_id), Scope()).changes or ()}
    copied, typed = told["copy"], told["set_metadata"]
    assert (copied.kind, copied.source) == ("copy", world.uri("dances/dance_ai_old.mp4"))
    assert (copied.content_type, copied.content_type_before) == (None, None)
    assert (typed.kind, typed.content_type_before, typed.content_type) == ("set_metadata", "text/plain", "image/png")
    assert (typed.source, typed.generation_before) == (None, world.objects.all()[ANIME].generation)


def test_a_copy_for_which_the_file_was_sent_after_all_has_no_source() -> None:
    world, run_id = restored(keeps_source=False)
    told = {each.kind: each for each in past_run(find_run(world.journal, run_id), Scope()).changes or ()}
    assert (told["copy"].outcome, told["copy"].source) == (PastOutcome.APPLIED, None)


def test_an_undo_says_what_stays_in_the_bucket() -> None:
    world, run_id = restored()
    before = world.objects.all()
    made = undoing(world, run_id)
    (told,) = [each for each in made.plan.findings if each.code.value == "objects_stay"]
    assert (told.subject, told.severity.value) == ("gs://my-bucket/anime_dance", "info")
    assert "wrote 1 content type and 1 object;" in told.message
    execute(world, made)
    assert world.objects.all() == before
    assert codes(undoing(world, run_id, Scope(("rem",))).plan) == []
    assert codes(undoing(world, LAST).plan) == []  # an undo writes no object


def test_a_plan_of_nothing_leaves_no_journal() -> None:
    world = studio()
    world.apply()
    world.apply()
    assert len(world.journal.files) == 1


def test_a_run_that_was_killed_after_a_write_is_told_and_undone() -> None:
    world = studio()
    before = fields(world)
    world.apply()
    (run_id,) = world.journal.files
    lines = world.journal.files[run_id].splitlines(keepends=True)
    cut = [line for line in lines if b'"line":"outcome"' not in line and b'"line":"end"' not in line]
    world.journal.files[run_id] = b"".join(cut) + lines[-1][:20]
    told = past_run(find_run(world.journal, run_id), Scope())
    assert told.status == UNFINISHED
    assert {change.outcome for change in told.changes or ()} == {PastOutcome.UNKNOWN}
    undo(world, run_id)
    assert fields(world) == before


def test_a_run_that_cannot_write_its_journal_changes_nothing() -> None:
    world = studio()
    world.journal.room = 0
    with pytest.raises(JournalError, match="cannot be written"):
        world.apply()
    assert world.writes() == []


@pytest.mark.parametrize("room", range(1, 16))
def test_a_journal_that_is_full_in_the_middle_stops_the_run_and_the_next_one_converges(room: int) -> None:
    whole = studio()
    whole.apply()
    world = studio()
    world.journal.room = room
    report = world.apply(concurrency=1)
    known = {touched.id for past in world.journal.runs() for each in past.written().values() for touched in each}
    written = {each.id for each in report.outcomes if each.kind == "set_field" and each.outcome is OutcomeKind.APPLIED}
    assert written <= known
    world.journal.room = None
    assert world.apply().status is Status.SUCCESS
    assert fields(world) == fields(whole)
    assert world.plan().actions == ()


def test_a_journal_line_that_is_not_ours_is_counted_and_passed_over() -> None:
    world = studio()
    run = world.apply().run_id
    whole = world.journal.files[run]
    head, _, tail = whole.partition(b"\n")
    world.journal.files[run] = head + b'\n{"line":"future","x":1}\nnonsense\n\xff\xfe\n' + tail
    told = past_run(find_run(world.journal, run))
    assert told.unread == 3
    assert msgspec.structs.replace(told, unread=0) == past_run(find_run_in(whole, world))


def find_run_in(data: bytes, world: World) -> Any:
    world.journal.files["copy"] = data
    return world.journal.read("copy")


def test_a_line_is_one_line_whatever_it_holds() -> None:
    world = World()
    name = "characters/ai\n\u2028x.png"
    world.record("ai", titled(anime_image="a\nb\r\n\u2028c"))
    world.file(ANIME)
    world.file(name)
    world.apply()
    for data in world.journal.files.values():
        assert all(line.endswith(b"}") for line in data.splitlines())
        assert data == b"".join(line + b"\n" for line in data.splitlines())
