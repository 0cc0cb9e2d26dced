"""Worlds that are odd, hostile or unlucky, and what must hold in them all the same."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from reconcile.adapters.jsondb.store import JsonDatabase
from reconcile.commands.status import table
from reconcile.core import plan as plans
from reconcile.core.changes import Code, CreateRecord
from reconcile.core.context import Context
from reconcile.core.document_rules import MAX_DOCUMENT_BYTES, size_of
from reconcile.core.errors import LocalDatabaseError, Rejected, Uncertain, UsageError
from reconcile.core.paths import MAX_REPAIRS, MAX_TARGETS, meaning, repairs_each, root_forms
from reconcile.core.report import OutcomeKind, Status
from reconcile.core.rows import FileProblem
from reconcile.core.rows import World as RecordWorld
from reconcile.core.stages.explode import explode
from reconcile.core.status import Sync
from reconcile.pipeline.survey import Survey
from tests.kit.world import World, codes, kinds, outcomes, sets, titled, windows

KEY = "characters/rem.png"
DANCE = "dances/dance_rem_01.mp4"


@pytest.fixture
def world() -> World:
    return World(local_db=True)


def sync_of(survey: Survey, world: World, asset_type: str) -> Sync:
    rows = table(survey, world.asset_map, "type").rows
    return next(row.sync for row in rows if row.asset_type == asset_type)


class TestTheStatusTableIsTrue:
    def test_a_record_that_names_what_is_nowhere_is_not_complete(self, world: World) -> None:
        world.both(KEY)
        world.record("rem", titled(anime_image=world.uri(KEY), dance_video=windows("dances/dance_rem_lost.mp4")))
        assert sync_of(world.survey(), world, "anime_image") is Sync.COMPLETE
        assert sync_of(world.survey(), world, "dance_video") is Sync.MISSING

    def test_an_orphan_that_lost_its_claim_is_not_counted_as_in_step(self, world: World) -> None:
        world.both(DANCE)
        world.object("dances/dance_rem_first_try.mp4")
        world.record("rem", titled(dance_video=world.uri(DANCE)))
        survey = world.survey()
        row = next(r for r in table(survey, world.asset_map, "type").rows if r.label == "Dance Video")
        assert (row.bucket, row.in_step, row.sync) == (2, 1, Sync.COMPLETE)
        assert codes(survey.plan) == ["orphan_object"]

    def test_it_says_that_something_could_not_be_read(self, world: World) -> None:
        world.file(KEY, problem=FileProblem.UNREADABLE)
        world.record("rem")
        survey = world.survey()
        assert not survey.plan.complete
        assert not table(survey, world.asset_map, "type").complete


class TestATextThatIsNoPath:
    @pytest.mark.parametrize(
        "text",
        [
            "TODO: ask Ken, the file is on his laptop",
            "n/a",
            "none yet",
            "see v1.2",
            "approved by j.doe",
            "Q: which take?",
        ],
    )
    def test_a_note_in_a_field_is_never_overwritten(self, world: World, text: str) -> None:
        world.file(KEY)
        world.record("rem", titled(anime_image=text))
        plan = world.plan()
        assert sets(plan) == {}
        assert len(plan.findings) == 1
        world.apply(plan)
        assert world.entries("rem") == [titled(anime_image=text)]

    def test_a_file_name_that_leads_nowhere_gives_way_to_the_file_that_is_there(self, world: World) -> None:
        world.file(KEY)
        world.record("rem", titled(anime_image="old_render.png"))
        assert sets(world.plan()) == {("rem", "primary", "anime_image"): world.uri(KEY)}


class TestAFileThatIsNeverUploaded:
    @pytest.mark.parametrize("exact", [True, False])
    def test_a_record_that_names_it_is_told_of(self, world: World, exact: bool) -> None:
        world.file("notes/idea.bin")
        text = world.uri("notes/idea.bin") if exact else windows("notes/idea.bin")
        world.record("rem", titled(extra=text))
        plan = world.plan()
        missing = next(finding for finding in plan.findings if finding.code.value == "missing_asset")
        assert (missing.subject, missing.char_id) == ("characters/rem", "rem")
        assert plan.actions == ()

    def test_an_empty_file_beside_a_good_object_does_not_keep_the_record_wrong(self, world: World) -> None:
        world.file(KEY, b"")
        world.object(KEY, b"good")
        world.record("rem", titled(anime_image=windows(KEY)))
        assert sets(world.plan()) == {("rem", "primary", "anime_image"): world.uri(KEY)}
        world.apply()
        assert world.objects.all()[KEY].size == 4
        assert world.plan().actions == ()


class TestANewRecord:
    def test_holds_no_local_path_at_any_depth(self, world: World) -> None:
        world.file(KEY)
        entry = titled(anime_image=windows(KEY), meta={"source": windows(KEY), "lost": windows("characters/gone.png")})
        world.local("rem", entry, portrait=windows(KEY), scans=[windows("characters/gone.png"), "front"], name="Rem")
        plan = world.plan()
        made = next(action for action in plan.actions if isinstance(action, CreateRecord))
        uri = world.uri(KEY)
        assert made.fields == {
            "assets": [titled(anime_image=uri, meta={"source": uri})],
            "portrait": uri,
            "scans": ["front"],
            "name": "Rem",
        }
        assert codes(plan).count("missing_asset") == 1
        world.apply(plan)
        assert world.plan().actions == ()

    def test_needs_the_objects_that_it_names_by_their_uri_already(self, world: World) -> None:
        world.object(KEY)
        world.local("rem", titled(anime_image=world.uri(KEY)))
        plan = world.plan()
        world.objects.remove(KEY)
        world.apply(plan)
        assert world.entries("rem") == [titled()]

    def test_is_not_made_of_what_the_local_database_does_not_hold(self, world: World) -> None:
        """Whoever wrote the plan file: a text that is neither the database's nor a needed URI is not written."""
        world.local("rem", titled(note="x"))
        forged = [_forged(action) for action in world.plan().actions]
        report = world.apply(_rebuilt(world, forged))
        assert (report.status, report.counts.stale) == (Status.STALE, 1)
        assert world.records.fields("rem") is None

    def test_that_names_an_object_which_it_does_not_need_is_refused(self, world: World) -> None:
        world.local("rem", titled(note="x"))
        forged = [_forged(action, world.uri("characters/other.png")) for action in world.plan().actions]
        with pytest.raises(UsageError, match="does not need"):
            world.apply(_rebuilt(world, forged))


def _forged(action: object, text: str = "javascript:alert(1)") -> CreateRecord:
    assert isinstance(action, CreateRecord)
    return CreateRecord(
        id=action.id,
        char_id=action.char_id,
        reason=action.reason,
        document=action.document,
        fields={"url": text},
        needs=(),
    )


def _rebuilt(world: World, actions: list[CreateRecord]) -> plans.Plan:
    """A plan file's author can compute a fingerprint too."""
    plan = world.plan()
    return plans.build(
        actions,
        (),
        world.origin,
        created=plan.created,
        scope=plan.scope,
    )


class TestSeveralRulesForOneField:
    def test_files_of_rules_that_choose_in_different_ways_are_ambiguous(self, world: World) -> None:
        """A variant titled like the main entry claims the same field as the dance: its rule says report."""
        world.file(DANCE, at=1)
        world.file("remixes/rem_a/variants/primary.mp4", at=2)
        world.record("rem")
        plan = world.plan()
        assert sets(plan) == {}
        assert codes(plan) == ["ambiguous_field"]


class TestARecordThatIsAnAttack:
    def test_a_text_full_of_escapes_means_little(self) -> None:
        roots = (root_forms(r"C:\oo\bar\output"),)
        assert len(meaning("x\\" + "\x01/" * 300, roots).targets) <= MAX_TARGETS
        assert len(meaning("C:\\" + "\x08ar\\" * 12 + "a.png", roots).targets) <= 2 * MAX_TARGETS

    def test_many_such_texts_cost_little(self, world: World) -> None:
        world.record("rem", titled(**{f"f{number}": "x\\" + "\x01/" * 300 for number in range(50)}))
        world.record("mei", titled(**{f"f{number}": "D:\\" + "deep\\" * 300 + "a.png" for number in range(200)}))
        assert world.plan().actions == ()

    @pytest.mark.parametrize("length", [12, 60, 400, 30_000])
    def test_the_size_of_a_record_bounds_the_ways_to_read_it(self, world: World, length: int) -> None:
        """However its damage is spread over texts, and wherever a path of ours could begin."""
        text = "D:\\" + "\b\x01\x02\x07ar\\" * 4 + "a/" * (length // 2) + ".png"
        count = 600_000 // len(text)
        world.record("rem", titled(anime_image=[text.replace("ar", f"{number:x}") for number in range(count)]))
        [record] = world.records.read()
        settings = world.settings
        context = Context(
            asset_map=settings.asset_map,
            bucket=settings.bucket,
            collection="characters",
            entries=settings.entries,
            roots=settings.roots,
        )
        found = list(explode(record, RecordWorld.RECORDS, context))
        assert len(found) <= 40 * count + 20_000

    def test_a_record_of_a_few_damaged_paths_is_read_in_every_way(self) -> None:
        texts = [windows(KEY).replace("\\c", "\x0c")] * 100
        assert repairs_each(texts) == MAX_REPAIRS
        assert repairs_each([*texts, "not\x01damaged" * 40_000]) == MAX_REPAIRS
        assert repairs_each(texts * 1000) == 1

    def test_a_record_of_many_maps_is_read_once(self, world: World) -> None:
        world.both(KEY)
        world.record("rem", titled(anime_image=windows(KEY)), *(titled(f"v{number}") for number in range(20_000)))
        assert kinds(world.plan()) == ["set_field"]
        world.apply()
        assert world.entries("rem")[0] == titled(anime_image=world.uri(KEY))
        assert len(world.entries("rem")) == 20_001

    def test_a_local_database_that_nests_too_deep_is_refused_with_a_sentence(self, tmp_path: Path) -> None:
        path = tmp_path / "characters.json"
        path.write_text('{"rem": {"x": ' + "[" * 700 + "]" * 700 + "}}", encoding="utf-8")
        with pytest.raises(LocalDatabaseError, match="levels deep in 'rem'"):
            list(JsonDatabase(path, "assets").read())
        json.loads(path.read_text(encoding="utf-8"))


def _silent(_document: str) -> None:
    raise Uncertain("no answer")


class TestAStoreThatDoesNotAnswer:
    def test_a_record_write_without_an_answer_is_read_once_and_not_repeated(self, world: World) -> None:
        world.both(KEY)
        world.record("rem", titled(anime_image=windows(KEY)))
        tried: list[str] = []

        def silent(document: str) -> None:
            tried.append(document)
            raise Uncertain("no answer")

        world.records.before_write = silent
        report = world.apply()
        assert tried == ["rem"]
        assert outcomes(report) == {KEY: OutcomeKind.FAILED}
        assert "no answer" in (report.outcomes[0].error or "")

    def test_writes_that_never_answer_stop_the_run(self, world: World) -> None:
        for number in range(60):
            world.both(f"characters/c{number:02}.png")
            world.record(f"c{number:02}", titled(anime_image=windows(f"characters/c{number:02}.png")))
        world.records.before_write = _silent
        report = world.apply(concurrency=1)
        assert report.counts.not_started > 40


class TestAStop:
    def test_starts_nothing_that_waits_for_a_worker(self, world: World) -> None:
        for number in range(40):
            world.file(f"characters/c{number:02}.png")
        stop, started = threading.Event(), threading.Semaphore(0)

        def hold(_key: str) -> None:
            started.release()
            stop.set()

        world.objects.refuse = hold
        report = world.apply(concurrency=4, stop=stop)
        begun = sum(started.acquire(blocking=False) for _ in range(40))
        assert begun <= 4 + 1
        assert report.counts.applied == begun
        assert report.status is Status.INTERRUPTED


class TestAnAssetTypeAlone:
    def test_finds_that_a_fields_old_path_leads_nowhere(self, world: World) -> None:
        result = "remixes/rem_a/result/x_watermarked.mp4"
        world.both(result)
        world.record("rem", titled(watermarked=windows("dances/gone.mp4")))
        whole = world.plan()
        assert sets(whole) == {("rem", "primary", "watermarked"): world.uri(result)}
        assert {each.id for each in world.plan(types=["watermarked"]).actions} == {each.id for each in whole.actions}


class TestOneCharacterAlone:
    def test_another_characters_file_that_its_record_names_is_known_to_be_that_ones(self, world: World) -> None:
        world.file("characters/mei.png")
        world.file("characters/emilia.png")
        world.record("emilia")
        world.record(
            "rem", titled(anime_image=windows("characters/mei.png"), cosplay_image=windows("characters/emilia.png"))
        )
        whole = {each.id: each for each in world.plan().actions}
        scoped = {each.id: each for each in world.plan("rem").actions}
        assert {each: whole[each] for each in scoped} == scoped
        assert len(scoped) == 4
        assert codes(world.plan("rem")) == []


class TestANewRecordAndItsObjects:
    def test_holds_no_uri_whose_object_was_not_uploaded_at_any_depth(self, world: World) -> None:
        world.file(KEY)
        entry = titled(anime_image=windows(KEY), meta={"thumb": windows(KEY)})
        world.local("rem", entry, avatar=windows(KEY))
        plan = world.plan()
        world.objects.refuse = lambda _key: Rejected("no")
        world.apply(plan)
        assert world.records.fields("rem") == {"assets": [titled(meta={})], "name": "Rem"}

    @pytest.mark.parametrize("there", [True, False])
    def test_a_uri_of_ours_that_no_field_holds_does_not_keep_the_plan_from_being_applied(
        self, world: World, there: bool
    ) -> None:
        if there:
            world.object("characters/gone.png")
        world.local("rem", titled(), poster=world.uri("characters/gone.png"))
        assert world.apply().status is Status.SUCCESS
        assert world.plan().actions == ()

    @pytest.mark.parametrize("title", [["x"], {"a": "b"}, 5, None])
    def test_a_title_that_is_no_text_stops_nothing(self, world: World, title: object) -> None:
        world.local("rem", {"title": title, "note": "x"})
        assert world.apply().status is Status.SUCCESS

    def test_the_local_database_is_read_once_for_all_of_them(self, world: World) -> None:
        for number in range(30):
            world.local(f"c{number:02}", titled(note="x"))
        plan = world.plan()
        assert world.local_db is not None
        before = len(world.local_db.reads)
        assert world.apply(plan).counts.applied == 30
        assert len(world.local_db.reads) == before + 1

    def test_one_that_is_there_just_so_is_already_done_whatever_the_local_database_says_now(self, world: World) -> None:
        world.local("rem", titled(note="x"))
        plan = world.plan()
        world.apply(plan)
        world.local("rem", titled(note="y"))
        assert outcomes(world.apply(plan)) == {None: OutcomeKind.ALREADY}


class TestARecordThatTheStoreWouldRefuse:
    @pytest.mark.parametrize("char_id", ["x" * 1_600, "ü" * 751, "__rem__", ".", "..", "a/b"])
    def test_is_a_finding_if_its_id_is_impossible(self, world: World, char_id: str) -> None:
        world.file(KEY)
        world.local_db.unbound = {char_id: {"assets": [titled(anime_image=windows(KEY))]}}
        plan = world.plan()
        assert (kinds(plan), "missing_record" in codes(plan)) == (["upload"], True)
        assert char_id in {finding.char_id for finding in plan.findings if finding.code is Code.MISSING_RECORD}

    @pytest.mark.parametrize(
        "fields",
        [
            {"": "x"},
            {"__name__": "x"},
            {"x" * 1_501: "x"},
            {"grid": [[1, 2], [3]]},
            {"story": "x" * 1_048_500},
            {"parts": ["x" * 600_000, "y" * 600_000]},
            {"deep": json.loads('{"a":' * 25 + "1" + "}" * 25)},
        ],
        ids=["empty name", "reserved name", "long name", "array in array", "long text", "large", "deep"],
    )
    def test_is_a_finding_if_its_fields_are_impossible(self, world: World, fields: dict[str, Any]) -> None:
        world.file(KEY)
        world.local_db.unbound = {"rem": {"assets": [titled(anime_image=windows(KEY))], **fields}}
        plan = world.plan()
        assert (kinds(plan), codes(plan)) == (["upload"], ["missing_record"])
        world.apply(plan)
        assert (world.records.all(), kinds(world.plan())) == ({}, [])

    def test_is_a_finding_if_it_would_grow_beyond_the_limit(self, world: World) -> None:
        world.file(KEY)
        old = windows(KEY)
        grown = len(world.uri(KEY)) - len(old)
        assert grown > 1
        for slack, planned in ((grown, ["upload", "set_field"]), (grown - 1, [])):
            world.record("rem", titled(anime_image=old), story="")
            room = MAX_DOCUMENT_BYTES - 16 - len("characters/rem/") - 32 - size_of(world.records.fields("rem"))
            world.record("rem", titled(anime_image=old), story="x" * (room - slack))
            plan = world.plan()
            assert [kind for kind in kinds(plan) if kind == "set_field"] == planned[1:]
            assert ("malformed_record" in codes(plan)) is (not planned)
