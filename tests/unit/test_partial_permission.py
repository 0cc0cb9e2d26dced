"""What the credentials may not read is unknown: nothing that depends on it is planned or called in step, the rest goes
on, and the plan says which part it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.adapters.firestore.store import FirestoreRecordStore
from reconcile.adapters.gcs.store import GcsObjectStore
from reconcile.adapters.sorting import Spill
from reconcile.commands.status import table
from reconcile.core.changes import CreateRecord, Reason, Replace, RewriteLocalDb, SetField, Upload
from reconcile.core.errors import AccessDenied, ExitCode, StoreUnavailable, UsageError
from reconcile.core.events import silent
from reconcile.core.moment import Moment
from reconcile.core.plan import Plan, Scope
from reconcile.core.report import OutcomeKind
from reconcile.pipeline.observe import Observations
from reconcile.pipeline.roster import read_roster
from tests.kit.guarded import GuardedRecords, guard, refusal
from tests.kit.search import sparingly
from tests.kit.world import World, codes, keys, kinds, outcomes, rule, sets, titled, windows
from tests.kit.worlds import Spec, ids_of, specs
from tests.servers.faults import FOREVER, Call, Fault
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

IMAGE = rule("image", "characters/{char_id}.png", "anime_image")
DANCE = rule("dance", "dances/dance_{char_id}*.mp4", "dance_video", many="newest")
REMIX = rule("remix", "remixes/{char_id}*/**/*.mp4", "deliverable", many="newest")
RULES = (IMAGE, DANCE, REMIX)


@pytest.fixture
def world() -> Iterator[World]:
    """Three files of rem, none of which is in the bucket, named by local paths; and mei's, in step."""
    with World(RULES) as made:
        for key in ("characters/rem.png", "dances/dance_rem.mp4", "remixes/rem/v1/a.mp4"):
            made.file(key)
        made.record(
            "rem",
            titled(
                anime_image=windows("characters/rem.png"),
                dance_video=windows("dances/dance_rem.mp4"),
                deliverable=windows("remixes/rem/v1/a.mp4"),
            ),
        )
        made.record("mei", titled(anime_image=made.both("characters/mei.png")))
        yield made


def scopes(plan: Plan) -> list[str]:
    """What the plan says could not be read."""
    return sorted(finding.subject for finding in plan.findings if finding.code.value == "unreadable_scope")


# -- a part of the bucket ---------------------------------------------------------------------------------------


def test_a_prefix_that_may_not_be_listed_is_unknown_and_the_rest_goes_on(world: World) -> None:
    guard(world, "remixes/")
    plan = world.plan()

    assert keys(plan, Upload) == ["characters/rem.png", "dances/dance_rem.mp4"]
    assert set(sets(plan)) == {("rem", "primary", "anime_image"), ("rem", "primary", "dance_video")}
    assert not plan.complete
    assert scopes(plan) == [str(world.bucket), world.uri("remixes/")]
    assert all("is not for you" in finding.message for finding in plan.findings)

    report = world.apply(plan)
    assert set(outcomes(report).values()) == {OutcomeKind.APPLIED}
    assert report.exit_code is ExitCode.FAILED
    again = world.plan()
    assert (again.actions, again.complete) == ((), False)
    [entry] = world.entries("rem")
    assert entry["deliverable"] == windows("remixes/rem/v1/a.mp4")


def test_when_the_permission_comes_the_next_run_finishes(world: World) -> None:
    guard(world, "remixes/")
    world.apply()
    world.objects.denied = ()
    world.apply()
    plan = world.plan()

    assert (plan.actions, plan.complete, plan.summary.in_step) == ((), True, 4)


def test_a_file_whose_object_is_unknown_is_neither_in_step_nor_to_do_in_the_table(world: World) -> None:
    world.both("remixes/mei/v1/b.mp4")
    guard(world, "remixes/")
    seen = world.survey()
    rows = {row.asset_type: row for row in table(seen, world.asset_map, "type").rows}

    assert (rows["remix"].local, rows["remix"].in_step, rows["remix"].to_do) == (2, 0, 0)
    assert rows["remix"].sync.value != "complete"
    assert rows["image"].in_step == 1
    assert not table(seen, world.asset_map, "type").complete


def test_a_reference_to_an_unknown_object_is_left_alone_and_is_no_missing_asset(world: World) -> None:
    world.record(
        "mei",
        titled(
            anime_image=world.both("characters/mei.png"),
            deliverable=world.uri("remixes/mei/gone.mp4"),
            dance_video=windows("remixes/mei/old.mp4"),
        ),
    )
    guard(world, "remixes/")
    plan = world.plan()

    assert "missing_asset" not in codes(plan)
    assert not any(char_id == "mei" for char_id, _, _ in sets(plan))


@pytest.mark.parametrize("pages", [0, 1, 2, 3])
def test_a_listing_that_is_refused_half_way_leaves_the_rest_of_it_unknown(world: World, pages: int) -> None:
    for name in ("b", "d"):
        world.object(f"characters/{name}.png")
    world.file("characters/a.png")
    world.file("characters/c.png")
    world.file("characters/z.png")
    guard(world, "characters/", pages=pages)
    planned = set(keys(world.plan(), Upload))

    assert "dances/dance_rem.mp4" in planned
    assert planned & {"characters/z.png", "characters/rem.png"} == set()
    assert planned <= {"characters/a.png", "characters/c.png", "dances/dance_rem.mp4", "remixes/rem/v1/a.mp4"}
    assert not world.plan().complete


def test_a_field_waits_where_another_file_for_it_may_lie_in_the_unknown() -> None:
    rules = (IMAGE, DANCE, rule("variant", "variants/{char_id}*.mp4", "dance_video", many="newest"))
    with World(rules) as world:
        world.both("dances/dance_rem.mp4")
        world.record("rem", titled())
        world.record("mei", titled())
        assert set(sets(world.plan())) == {("rem", "primary", "dance_video")}
        guard(world, "variants/")

        assert kinds(world.plan()) == []
        assert world.plan().summary.in_step == 0


def test_where_no_prefix_may_be_listed_nothing_is_planned_but_the_records_are_read(world: World) -> None:
    world.record("zoe", {"title": "primary"}, "odd")
    guard(world, "")
    plan = world.plan()

    assert (plan.actions, plan.summary.in_step, plan.complete) == ((), 0, False)
    assert codes(plan).count("malformed_record") == 1
    assert set(scopes(plan)) == {str(world.bucket), *map(world.uri, ("characters/", "dances/dance_", "remixes/"))}


def test_a_scoped_plan_names_the_prefix_of_its_character(world: World) -> None:
    guard(world, "remixes/rem")
    plan = world.plan("rem")

    assert keys(plan, Upload) == ["characters/rem.png", "dances/dance_rem.mp4"]
    assert scopes(plan) == [world.uri("remixes/rem")]
    assert not plan.complete
    assert world.plan("mei").complete


def test_an_object_that_a_record_names_and_that_may_not_be_read_is_unknown(world: World) -> None:
    key = "shared/one.png"
    world.record("rem", titled(anime_image=world.uri(key), dance_video=windows("dances/dance_rem.mp4")))
    guard(world, "shared/")
    plan = world.plan("rem")

    assert set(sets(plan)) == {("rem", "primary", "dance_video"), ("rem", "primary", "deliverable")}
    assert scopes(plan) == [world.uri(key)]
    assert "missing_asset" not in codes(plan)


def test_a_listing_that_fails_otherwise_is_still_an_error(world: World) -> None:
    world.objects.break_listing_after = 1
    with pytest.raises(StoreUnavailable):
        world.plan()


def test_a_record_is_not_made_of_half_of_what_it_names() -> None:
    with World(RULES, local_db=True) as world:
        world.both("characters/zoe.png")
        world.both("remixes/zoe/a.mp4")
        world.local("zoe", titled(anime_image="characters/zoe.png"), cover="see output/remixes/zoe/a.mp4")
        world.local("mei", titled(anime_image="characters/zoe.png"), cover="output/remixes/zoe/a.mp4")
        world.local("ai", titled(anime_image="characters/zoe.png", deliverable="output/remixes/zoe/a.mp4"))
        guard(world, "remixes/")

        made = [action.document for action in world.plan().actions if isinstance(action, CreateRecord)]
        assert made == ["characters/zoe"]


# -- records ----------------------------------------------------------------------------------------------------


def test_records_that_may_not_be_read_leave_the_uploads_and_nothing_else(world: World) -> None:
    world.object("characters/zoe.png")
    guard(world, records=None)
    plan = world.plan()

    assert set(kinds(plan)) == {"upload"}
    assert len(plan.actions) == 3
    assert plan.summary.in_step == 0
    assert codes(plan) == ["unreadable_scope"]
    assert scopes(plan) == [world.stores.records]
    assert world.apply(plan).exit_code is ExitCode.FAILED
    assert world.entries("rem")[0]["anime_image"] == windows("characters/rem.png")


def test_no_record_is_made_where_it_is_unknown_whether_there_is_one() -> None:
    with World(RULES, local_db=True, rewrite=True) as world:
        world.local("zoe", titled(anime_image="characters/zoe.png"))
        world.both("characters/zoe.png")
        guard(world, records=None)

        assert kinds(world.plan()) == ["rewrite_local_db"]


def test_a_key_that_further_characters_could_change_is_not_written() -> None:
    templates = rule("dance", "dances/dance_{char_id}{rest}.mp4", "dance_video", object_="m/{char_id}/d{rest}.mp4")
    with World([IMAGE, templates]) as world:
        world.file("dances/dance_rem_2_a.mp4")
        world.record("rem")
        world.record("rem_2")
        guard(world, records=None)

        assert world.plan().actions == ()


def test_one_document_that_may_not_be_read_is_unknown_and_the_others_are_put_right(world: World) -> None:
    world.file("characters/zoe.png")
    world.record("zoe", titled(anime_image=windows("characters/zoe.png")))
    guard(world, records=["rem"])
    plan = world.plan("rem", "zoe")

    assert set(sets(plan)) == {("zoe", "primary", "anime_image")}
    assert set(keys(plan, Upload)) == {
        "characters/rem.png",
        "characters/zoe.png",
        "dances/dance_rem.mp4",
        "remixes/rem/v1/a.mp4",
    }
    assert scopes(plan) == ["characters/rem"]
    [finding] = [each for each in plan.findings if each.code.value == "unreadable_scope"]
    assert finding.char_id == "rem"
    assert not plan.complete
    assert world.plan("zoe").complete


def test_the_only_document_in_scope_may_be_refused_and_its_files_are_uploaded(world: World) -> None:
    guard(world, records=["rem"])
    plan = world.plan("rem")

    assert set(kinds(plan)) == {"upload"}
    assert scopes(plan) == ["characters/rem"]


def test_a_character_that_nobody_knows_is_a_slip_only_where_its_record_could_be_read(world: World) -> None:
    guard(world, records=["ghost"])
    assert scopes(world.plan("ghost")) == ["characters/ghost"]
    with pytest.raises(UsageError, match="nobody"):
        world.plan("nobody")


def test_an_id_that_may_be_longer_makes_ownership_unknown(world: World) -> None:
    class Nameless(GuardedRecords):
        def ids(self, prefix: str = "", *, at: Moment | None = None) -> Iterator[str]:
            raise refusal("the collection")

    world.record("rem", titled())
    world.record("rem_2")
    world.file("dances/dance_rem_2.mp4")
    world.files.files.pop("dances/dance_rem.mp4")
    world.records = Nameless(world.records, ())  # type: ignore[assignment]
    plan = world.plan("rem")

    assert sets(plan) == {}
    assert scopes(plan) == [world.stores.records]


# -- everything, and those who do not ask for a part -------------------------------------------------------------


def test_where_everything_is_refused_it_is_one_error(world: World) -> None:
    guard(world, "", records=None)
    with pytest.raises(AccessDenied, match="is not for you"):
        world.plan()
    with pytest.raises(AccessDenied, match="is not for you"):
        world.plan("rem")
    assert world.writes() == []


def test_whoever_does_not_ask_for_a_part_gets_the_error(world: World) -> None:
    guard(world, "remixes/", records=["rem"])
    for scope in (Scope(), Scope(("rem",))):
        with pytest.raises(AccessDenied):
            read_roster(world, scope, silent)
        with pytest.raises(AccessDenied):
            list(Observations(world, scope, frozenset(), silent, Spill(0, Path)).rows(()))


# -- any world --------------------------------------------------------------------------------------------------

DENIED = ("", "characters/", "characters/rem", "dances/", "remixes/", "remixes/rem", "images/", "moves/")


@sparingly(40)
@given(specs(), st.sets(st.sampled_from(DENIED), max_size=2), st.integers(0, 3), st.integers(0, 4), st.booleans())
def test_what_is_planned_with_less_permission_is_a_part_of_what_is_planned_with_all(
    spec: Spec, denied: set[str], pages: int, which: int, scoped: bool
) -> None:
    with spec.build() as world:
        scope = ids_of(spec)[:1] if scoped else []
        whole = world.plan(*scope)
        every = ids_of(spec)
        records = None if which == 4 else every[which : which + 1] if which < 3 else []
        guard(world, *sorted(denied), pages=pages or None, records=records)
        try:
            part = world.plan(*scope)
        except AccessDenied:
            assert denied
            assert records != []
            return
        ids = {action.id for action in whole.actions}
        lists = _lists(whole)
        made = {action.document for action in whole.actions if isinstance(action, CreateRecord)}
        for action in part.actions:
            match action:
                case Upload() | Replace():
                    assert action.id in ids
                case CreateRecord():
                    assert action.document in made
                case SetField() if action.reason is Reason.INDEX:
                    assert action.id in ids
                case SetField() | RewriteLocalDb() if isinstance(action.new, list):
                    assert set(map(str, action.new)) <= lists[action.document, action.entry, action.field]
                case _:
                    assert action.id in ids
        assert part.summary.in_step <= whole.summary.in_step
        assert part.complete <= whole.complete


def _lists(plan: Plan) -> dict[tuple[str, str | None, str], set[str]]:
    changes = (action for action in plan.actions if isinstance(action, SetField | RewriteLocalDb))
    return {
        (change.document, change.entry, change.field): {*map(str, change.new), *map(str, change.old or [])}
        for change in changes
        if isinstance(change.new, list)
    }


# -- the real clients -------------------------------------------------------------------------------------------


@pytest.fixture
def wired(world: World, firestore_server: FirestoreServer) -> Iterator[GcsServer]:
    """The same world in the in-process servers, behind the real clients."""
    settings, where = world.settings, world.settings.records
    documents = world.records.all()
    world.records = FirestoreRecordStore.open(  # type: ignore[assignment]
        where.project, where.database, where.collection, firestore_server.address
    )
    for char_id, (fields, _) in documents.items():
        world.records.create(char_id, fields)
    with GcsServer() as server:
        server.world.make_bucket(settings.bucket.bucket)
        world.objects = GcsObjectStore(  # type: ignore[assignment]
            settings.bucket.bucket, settings.bucket.prefix, server.url
        )
        key = "characters/mei.png"
        server.world.insert(settings.bucket.bucket, world.bucket.object_name(key), key.encode(), {})
        yield server
        world.objects.close()
        world.records.close()


def test_the_real_clients_say_which_prefix_and_which_document(
    world: World, wired: GcsServer, firestore_server: FirestoreServer
) -> None:
    denied = world.bucket.object_name("remixes/")

    def forbidden(call: Call) -> bool:
        prefix = call.query.get("prefix", "")
        listing = call.method == "GET" and not call.key
        return listing and (prefix.startswith(denied) or denied.startswith(prefix))

    wired.script.add(Fault(when=forbidden, status=403, reason="forbidden", times=FOREVER))
    plan = world.plan()
    assert keys(plan, Upload) == ["characters/rem.png", "dances/dance_rem.mp4"]
    assert scopes(plan) == [str(world.bucket), world.uri("remixes/")]
    assert all("roles/storage.objectUser" in finding.message for finding in plan.findings)
    assert world.apply(plan).exit_code is ExitCode.FAILED
    assert world.plan().actions == ()

    firestore_server.fault(
        "BatchGetDocuments",
        times=FOREVER,
        before=grpc.StatusCode.PERMISSION_DENIED,
        when=lambda request: any(name.endswith("/mei") for name in request.documents),
    )
    both = world.plan("mei", "rem")
    assert scopes(both) == ["characters/mei", world.uri("remixes/mei"), world.uri("remixes/rem")]
    assert both.actions == ()


def test_a_type_stays_in_the_index_while_it_is_not_known_whether_its_object_is_there() -> None:
    with World(RULES, index="asset_types") as world:
        world.file("characters/rem.png")
        world.record("rem", asset_types=["image"])
        guard(world, "")
        assert kinds(world.plan()) == []
