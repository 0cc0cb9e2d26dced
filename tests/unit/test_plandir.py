"""A plan as a folder of shards: split, read back, merged, and refused when it is not whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.adapters.shared_folder import DiskFolder
from reconcile.cli.saved import Saved
from reconcile.commands import sharing
from reconcile.core import plandir
from reconcile.core.changes import Change, ObjectChange
from reconcile.core.cost import Estimate, Usage, Used
from reconcile.core.errors import ExitCode, Refused, UsageError
from reconcile.core.headed import dump_head
from reconcile.core.plan import LimitCounts, Plan
from reconcile.core.plandir import HEAD, Machine, PlanDir, Shard, ShardPhase
from reconcile.core.planfile import dumps
from reconcile.core.ramp import Rates
from reconcile.core.report import Outcome, OutcomeKind, Report, Status
from reconcile.core.report import build as build_report
from reconcile.pipeline.executor import execute
from tests.kit.plans import EVERY_KIND, finding, plan, set_field, upload
from tests.kit.search import sparingly
from tests.kit.world import World
from tests.kit.worlds import Pick, Spec, spec_of, specs

COUNT = 3


def many() -> Plan:
    """Enough of every kind that no shard is empty."""
    more = [upload(f"dances/dance_{number}.mp4") for number in range(20)]
    fields = [set_field(id=f"f{number}", document=f"characters/c{number}") for number in range(20)]
    return plan(
        (*EVERY_KIND, *more, *fields), [finding(subject=f"gs://my-bucket/anime_dance/{n}.png") for n in range(9)]
    )


@pytest.fixture
def folder(tmp_path: Path) -> DiskFolder:
    """A plan in a folder of three shards."""
    made = DiskFolder(tmp_path / "plan")
    sharing.save(made, *plandir.split(many(), COUNT))
    return made


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_merged_the_shards_are_the_plan_of_one_file_byte_for_byte(tmp_path: Path, count: int) -> None:
    folder = DiskFolder(tmp_path / "plan")
    sharing.save(folder, *plandir.split(many(), count))
    assert dumps(sharing.whole(folder, sharing.open_plan(folder))) == dumps(many())


def test_what_a_plan_was_estimated_to_take_is_kept_whole_and_counted_anew_for_a_shard(tmp_path: Path) -> None:
    estimate = msgspec.structs.replace(_estimate(many()), looking=Usage(class_a=3, document_reads=20), seconds=2.5)
    made, folder = msgspec.structs.replace(many(), estimate=estimate), DiskFolder(tmp_path / "plan")
    sharing.save(folder, *plandir.split(made, COUNT))
    head = sharing.open_plan(folder)
    assert sharing.whole(folder, head) == made
    parts = [_estimate(sharing.part(folder, head, number, ShardPhase)).applying for number in range(COUNT)]
    assert all(parts)
    assert sum(parts, Usage()).bytes == estimate.applying.bytes


def _estimate(made: Plan) -> Estimate:
    assert made.estimate is not None
    return made.estimate


def test_the_files_are_named_by_phase_and_number_and_listed_with_what_they_hold(tmp_path: Path) -> None:
    folder = DiskFolder(tmp_path / "plan")
    sharing.save(folder, *plandir.split(many(), 2))
    head = msgspec.json.decode((tmp_path / "plan" / HEAD).read_bytes())
    assert head["format"] == "reconcile.plan-dir/1"
    assert [(each["name"], each["phase"]) for each in head["shards"]] == [
        ("actions-1-0000.jsonl", "uploads"),
        ("actions-1-0001.jsonl", "uploads"),
        ("actions-2-0000.jsonl", "records"),
        ("actions-2-0001.jsonl", "records"),
    ]
    assert sum(each["actions"] for each in head["shards"]) == len(many().actions)
    for each in (*head["shards"], *head["findings"]):
        assert (tmp_path / "plan" / each["name"]).stat().st_size == each["bytes"]


def test_every_change_is_in_one_shard_and_all_changes_of_a_record_are_in_one(folder: DiskFolder) -> None:
    head = sharing.open_plan(folder)
    parts = [sharing.part(folder, head, number, ShardPhase).actions for number in range(COUNT)]
    assert sorted(each.id for part in parts for each in part) == sorted(each.id for each in many().actions)
    assert all(parts)
    where: dict[str, set[int]] = {}
    for number, part in enumerate(parts):
        for change in part:
            if not isinstance(change, ObjectChange):
                where.setdefault(change.document, set()).add(number)
    assert all(len(numbers) == 1 for numbers in where.values())


def test_a_phase_holds_the_objects_or_the_records(folder: DiskFolder) -> None:
    head = sharing.open_plan(folder)
    uploads = sharing.part(folder, head, 0, [ShardPhase.UPLOADS]).actions
    records = sharing.part(folder, head, 0, [ShardPhase.RECORDS]).actions
    assert all(isinstance(each, ObjectChange) for each in uploads)
    assert not any(isinstance(each, ObjectChange) for each in records)
    assert (*uploads, *records) == sharing.part(folder, head, 0, ShardPhase).actions


# -- what is refused --


def _refused(folder: DiskFolder) -> str:
    with pytest.raises(UsageError) as caught:
        sharing.whole(folder, sharing.open_plan(folder))
    assert caught.value.hint
    return caught.value.message


def test_a_folder_without_a_head_is_refused(folder: DiskFolder, tmp_path: Path) -> None:
    (tmp_path / "plan" / HEAD).unlink()
    assert "did not finish" in _refused(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "holds no plan" in _refused(DiskFolder(tmp_path / "nothing"))


@pytest.mark.parametrize("name", ["actions-1-0001.jsonl", "actions-2-0002.jsonl", "findings-0000.jsonl"])
def test_a_missing_a_shorter_and_a_longer_shard_is_refused(folder: DiskFolder, tmp_path: Path, name: str) -> None:
    place = tmp_path / "plan" / name
    data = place.read_bytes()
    for other in (data[:-1], data + b"\n", data + data, b""):
        place.write_bytes(other)
        assert name in _refused(folder)
    place.unlink()
    assert f"{name} is missing" in _refused(folder)


def test_a_shard_of_the_right_length_with_another_content_is_refused(folder: DiskFolder, tmp_path: Path) -> None:
    place = tmp_path / "plan" / "actions-1-0000.jsonl"
    data = place.read_bytes()
    place.write_bytes(data.replace(b"missing_in_bucket", b"missing_in_bucKet", 1))
    assert "is not the file" in _refused(folder)


def test_a_shard_that_changed_places_with_another_is_refused_whatever_the_head_says(
    folder: DiskFolder, tmp_path: Path
) -> None:
    ours, theirs = (tmp_path / "plan" / f"actions-1-000{number}.jsonl" for number in (0, 1))
    first, second = ours.read_bytes(), theirs.read_bytes()
    ours.write_bytes(second)
    theirs.write_bytes(first)
    assert _refused(folder)
    head = sharing.open_plan(_other_folder(tmp_path, second, first))
    with pytest.raises(UsageError, match="does not hold the changes"):
        sharing.part(DiskFolder(tmp_path / "other"), head, 0, ShardPhase)


def _other_folder(tmp_path: Path, first: bytes, second: bytes) -> DiskFolder:
    """The plan with two exchanged shards, and a head that is made to fit them."""
    head, files = plandir.split(many(), COUNT)
    zero, one, *rest = head.shards
    shards = (
        msgspec.structs.replace(one, name=zero.name),
        msgspec.structs.replace(zero, name=one.name),
        *rest,
    )
    edited = msgspec.structs.replace(head, shards=shards, digest="")
    edited = msgspec.structs.replace(edited, digest=plandir.digest(edited))
    other = DiskFolder(tmp_path / "other")
    for name, data in {**files, zero.name: first, one.name: second, HEAD: dump_head(edited)}.items():
        other.create(name, data)
    return other


@pytest.mark.parametrize(
    ("old", "new"), [(b'"replaced": 1', b'"replaced": 0'), (b'"complete": true', b'"complete": false'), (b"}\n", b"")]
)
def test_a_head_that_was_edited_or_torn_is_refused(folder: DiskFolder, tmp_path: Path, old: bytes, new: bytes) -> None:
    place = tmp_path / "plan" / HEAD
    data = place.read_bytes()
    assert old in data
    place.write_bytes(data.replace(old, new) if new else data[: -len(old)])
    assert HEAD in _refused(folder)


def test_a_folder_of_another_format_is_refused(folder: DiskFolder, tmp_path: Path) -> None:
    place = tmp_path / "plan" / HEAD
    place.write_bytes(place.read_bytes().replace(b"plan-dir/1", b"plan-dir/2"))
    assert "this version reads" in _refused(folder)


def test_a_folder_in_which_others_write_their_reports_still_holds_the_plan(folder: DiskFolder) -> None:
    """A report is written beside its place and moved there: between two looks its first name is gone."""
    with ThreadPoolExecutor(1) as other:
        writing = other.submit(lambda: [folder.create(f"report-{number}.json", b"{}") for number in range(30)])
        looks = 0
        while looks < 5 or not writing.done():
            assert HEAD in folder.sizes()
            looks += 1
        writing.result()


def test_a_link_that_leads_nowhere_is_something_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(UsageError, match="not empty"):
        sharing.check_free(DiskFolder(tmp_path))


def test_a_plan_or_a_scan_goes_into_a_folder_of_its_own(folder: DiskFolder) -> None:
    with pytest.raises(UsageError, match="not empty, and other machines may be at work with what is there"):
        sharing.check_free(folder)


def test_a_machine_of_a_plan_that_is_of_no_machines_is_refused(run: Any, tmp_path: Path) -> None:
    where = str(tmp_path / "plan")
    assert run("plan", "--out", where, "--shards", "2", "--quiet").code == 0
    for more in ((), ("--phase", "records")):
        answer = run("apply", where, "--machine", "render-1", "--yes", *more)
        assert answer.code == ExitCode.USAGE
        assert "--machine does not go with it" in answer.err
    assert "--machine" in run("apply", "--machine", "render-1", "--yes").err
    assert run("apply", where, "--yes").code == 0


@pytest.mark.parametrize("part", [("--shard", "1/2"), ("--phase", "records"), ("--machine", "render-1")])
def test_merged_reports_are_of_all_runs_so_no_part_goes_with_them(
    run: Any, tmp_path: Path, part: tuple[str, str]
) -> None:
    where = str(tmp_path / "plan")
    assert run("plan", "--out", where, "--shards", "2", "--quiet").code == 0
    answer = run("apply", where, "--merge-reports", *part)
    assert answer.code == ExitCode.USAGE
    assert f"--merge-reports is about all runs of the plan, so {part[0]} does not go with it" in answer.err
    assert f"leave out {part[0]}\n" in answer.err


def test_the_command_to_type_next_names_the_same_part(run: Any, tmp_path: Path) -> None:
    where = str(tmp_path / "plan")
    assert run("plan", "--out", where, "--shards", "1", "--quiet").code == 0
    shown = run("apply", where, "--shard", "1/1", "--phase", "uploads", "--dry-run").out
    assert f"apply {where} --shard 1/1 --phase uploads`" in shown
    scan = str(tmp_path / "scan")
    assert run("scan", "--out", scan, "--name", "one").code == 0
    assert f"plan --files-from {scan} --out DIR/ --shards N`" in run("plan", "--files-from", scan).out
    merged = run("apply", where, "--merge-reports").out
    assert f"apply {where} --shard I/N` again" in merged


@pytest.mark.parametrize("shard", ["9" * 5000 + "/2", "1/" + "9" * 5000, "1/-2", "\u0661/2", "1/2\n"])
def test_a_shard_that_is_no_number_is_refused_however_it_is_written(run: Any, tmp_path: Path, shard: str) -> None:
    where = str(tmp_path / "plan")
    assert run("plan", "--out", where, "--shards", "2", "--quiet").code == 0
    answer = run("apply", where, "--shard", shard)
    assert answer.code == ExitCode.USAGE
    assert "is not I/N" in answer.err


def test_a_file_of_a_plan_folder_is_never_written_over(folder: DiskFolder) -> None:
    with pytest.raises(UsageError, match="File exists"):
        folder.create(HEAD, b"{}")


def _with_head(folder: DiskFolder, **changed: Any) -> bytes:
    """The head of the plan with these values, and a digest that fits them."""
    head = msgspec.structs.replace(sharing.open_plan(folder), **changed, digest="")
    return dump_head(msgspec.structs.replace(head, digest=plandir.digest(head)))


@pytest.mark.parametrize("name", ["start", "factor", "every"])
@pytest.mark.parametrize("value", [0.0, -300.0, 1e-9])
def test_a_head_with_a_rate_at_which_nothing_would_ever_end_is_refused(
    folder: DiskFolder, name: str, value: float
) -> None:
    ramp = msgspec.structs.replace(Rates().records, **{name: value})
    with pytest.raises(UsageError, match=f"is not the head of a plan: .*rates.records.{name}"):
        plandir.load_head(_with_head(folder, rates=Rates(records=ramp)), "it")


def test_a_head_of_more_machines_and_shards_than_it_lists_is_refused_at_once(folder: DiskFolder) -> None:
    findings = sharing.open_plan(folder).findings * 10_000
    machines = tuple(Machine(f"render-{number}", "/srv") for number in range(30_000))
    with pytest.raises(UsageError, match="was edited, or is torn"):
        plandir.load_head(_with_head(folder, findings=findings, machines=machines), "it")


# -- reports --


def _report(run_id: str, *outcomes: tuple[str, OutcomeKind], moved: int = 0, seconds: float = 1.0) -> Report:
    by_id = {change.id: change for change in many().actions}
    made = [Outcome.of(by_id[name], kind) for name, kind in outcomes]
    return build_report(run_id, made, (), moved=moved, seconds=seconds)


FIRST, SECOND = "20260207T030000000000Z-aaaaaa", "20260207T030010000000Z-bbbbbb"


def test_merged_reports_tell_of_every_change_of_the_plan() -> None:
    some, rest = many().actions[:5], many().actions[5:]
    first = _report(FIRST, *((each.id, OutcomeKind.APPLIED) for each in some), moved=7)
    half = plandir.merge_reports(many(), [first])
    assert half.status is Status.PARTIAL
    assert half.counts.not_started == len(rest)
    second = _report(SECOND, *((each.id, OutcomeKind.APPLIED) for each in rest), moved=5, seconds=2.5)
    whole = plandir.merge_reports(many(), [second, first])
    assert whole.status is Status.SUCCESS
    assert [each.id for each in whole.outcomes] == [each.id for each in many().actions]
    assert (whole.bytes, whole.seconds, whole.findings) == (12, 12.5, many().findings)
    used = Used(Usage(class_a=1), Usage(class_a=2, bytes=7))
    told = [msgspec.structs.replace(each, used=used) for each in (first, second)]
    assert plandir.merge_reports(many(), told).used == Used(Usage(class_a=2), Usage(class_a=4, bytes=14))


def test_a_later_run_that_finds_a_change_made_does_not_take_it_from_the_one_that_made_it() -> None:
    name = many().actions[0].id
    told = [_report(FIRST, (name, OutcomeKind.APPLIED)), _report(SECOND, (name, OutcomeKind.ALREADY))]
    assert plandir.merge_reports(many(), told).outcomes[0].outcome is OutcomeKind.APPLIED


def test_a_later_run_that_makes_what_an_earlier_one_could_not_counts() -> None:
    name = many().actions[0].id
    told = [_report(FIRST, (name, OutcomeKind.FAILED)), _report(SECOND, (name, OutcomeKind.ALREADY))]
    assert plandir.merge_reports(many(), told).outcomes[0].outcome is OutcomeKind.ALREADY


@pytest.mark.parametrize("data", [b"{", b"[]", b"not json"])
def test_a_report_that_cannot_be_read_is_named(folder: DiskFolder, data: bytes) -> None:
    folder.create("report-0000-x.json", data)
    with pytest.raises(UsageError, match=r"report-0000-x\.json"):
        sharing.merged_report(folder, many())


def test_a_report_of_no_run_is_named_too(folder: DiskFolder) -> None:
    sharing.save_report(folder, msgspec.structs.replace(_report(FIRST), run_id="tonight"), 1)
    with pytest.raises(UsageError, match=r"report-0001-tonight\.json"):
        sharing.merged_report(folder, many())


def test_a_report_that_cannot_be_saved_beside_the_plan_is_told_of_and_the_run_counts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    saved = Saved(many(), folder=DiskFolder(tmp_path / "file" / "plan"), number=0)
    told = saved.save_report(_report(FIRST))
    assert told is not None
    assert told.startswith(f"the report of this run is missing in {tmp_path / 'file' / 'plan'}: ")


# -- a shard is not the plan --


def test_a_part_of_a_plan_is_judged_by_the_limits_of_the_whole_and_is_no_good_run_of_everything() -> None:
    with World() as world:
        world.file("characters/rem.png")
        world.record("rem")
        made = world.plan()
        part = plandir.split(made, 1)[0].part(made.actions)
        with pytest.raises(Refused, match="replaces 50 of 100 objects"):
            execute(world, part, part_of=LimitCounts(90, 50, 100))
        assert execute(world, part, part_of=LimitCounts.of(made)).status is Status.SUCCESS
        assert world.last_good_run is None


@given(specs(stops=False), st.integers(1, 5), st.randoms(use_true_random=False))
@sparingly(30)
def test_shards_applied_in_any_order_leave_the_world_that_the_whole_plan_leaves(
    spec: Spec, count: int, random: Random
) -> None:
    _same_end(spec, count, random)


def _same_end(spec: Spec, count: int, random: Random) -> None:
    with spec.build() as one, spec.build() as many_:
        execute(one, one.plan(), force=True)
        made = many_.plan()
        head, files = plandir.split(made, count)
        assert plandir.load_head(dump_head(head), "it") == head
        everything = [change for shard in head.shards for change in _read(head, shard, files)]
        found = [each for shard in head.findings for each in plandir.read_findings(shard, files[shard.name], "it")]
        assert dumps(plandir.merge(head, reversed(everything), reversed(found), "it")) == dumps(made)
        for phase in ShardPhase:
            for number in random.sample(range(count), count):
                (shard,) = head.of(phase, number)
                changes = plandir.read_actions(head, shard, files[shard.name], "it")
                execute(many_, head.part(changes), force=True, part_of=head.limits)
        assert _held(many_) == _held(one)
        assert dumps_undated(many_.plan()) == dumps_undated(one.plan())


def _held(world: World) -> object:
    objects = {each.key: (each.size, each.crc32c, each.content_type) for each in world.objects.list()}
    return objects, {each.id: each.fields for each in world.records.read()}


def dumps_undated(made: Plan) -> bytes:
    return dumps(msgspec.structs.replace(made, created=""))


def test_seeded_worlds_shard_as_drawn_ones_do() -> None:
    for seed in range(40):
        random = Random(seed)
        _same_end(spec_of(Pick(random.randrange), stops=False), 4, random)


# -- several machines' files --


def test_the_uploads_of_several_machines_are_in_shards_of_their_own() -> None:
    made = many()
    machines = (Machine("a", "/srv/a"), Machine("b", "/srv/b"))
    homes = {each.id: "b" for each in made.actions if isinstance(each, ObjectChange) and each.key.startswith("dances/")}
    head, files = plandir.split(made, 2, machines, homes)
    ours = [change for shard in head.of(ShardPhase.UPLOADS, None, machines[1]) for change in _read(head, shard, files)]
    assert {each.id for each in ours} == set(homes)
    assert head.part(ours, machines[1]).stores.local == "/srv/b"
    rest = [change for shard in head.of(ShardPhase.UPLOADS, None, machines[0]) for change in _read(head, shard, files)]
    everything = [change for shard in head.shards for change in _read(head, shard, files)]
    assert len(everything) == len(made.actions)
    assert dumps(plandir.merge(head, everything, made.findings, "it")) == dumps(made)
    assert {each.id for each in rest}.isdisjoint(homes)
    assert plandir.load_head(dump_head(head), "it") == head


def _read(head: PlanDir, shard: Shard, files: dict[str, bytes]) -> list[Change]:
    return plandir.read_actions(head, shard, files[shard.name], "it")
