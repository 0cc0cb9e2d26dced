"""What holds of every world: runs converge, scopes are parts, order does not matter, and nothing is lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.core.changes import Change, Code, CreateRecord, Finding, Replace, RewriteLocalDb, SetField, Upload
from reconcile.core.errors import StoreUnavailable
from reconcile.core.events import silent
from reconcile.core.findings import make
from reconcile.core.names import fold
from reconcile.core.pairing import Pairing
from reconcile.core.plan import Plan, Scope
from reconcile.core.rows import Answer, Candidate, Claim, Coverage, FileProblem, KeyTally, Unsettled, Unwanted
from reconcile.core.rows import World as RecordWorld
from reconcile.core.stages import by_document, by_key, explode
from reconcile.core.stages.key import KeyRows
from reconcile.core.status import Tally
from reconcile.pipeline.planner import survey
from reconcile.pipeline.roster import context_of, read_roster
from tests.world import World, kinds
from tests.worlds import Spec, ids_of, specs


@given(specs())
def test_apply_then_plan_again_finds_nothing_to_do_and_the_third_plan_neither(spec: Spec) -> None:
    with spec.build() as world:
        report = world.apply()
        before, writes = world.snapshot(), world.writes()
        second = world.plan()
        again = world.apply(second)
        third = world.plan()

        assert report.counts.failed == report.counts.stale == report.counts.blocked == 0
        assert second.actions == third.actions == ()
        assert again.counts.applied == again.counts.already == 0
        assert second.findings == third.findings
        assert (world.snapshot(), world.writes()) == (before, writes)


@given(specs())
def test_a_plan_writes_nothing_anywhere(spec: Spec) -> None:
    with spec.build() as world:
        before = world.snapshot()
        world.plan()

        assert world.snapshot() == before
        assert world.writes() == []
        assert world.files.opened == []


@given(specs())
def test_a_scoped_plan_is_the_part_of_the_whole_plan_that_is_about_the_character(spec: Spec) -> None:
    with spec.build() as world:
        whole = {action.id: action for action in world.plan().actions}
        for char_id in ids_of(spec):
            scoped = world.plan(char_id)
            part = {action.id: action for action in scoped.actions}
            mine = {id_ for id_, action in whole.items() if action.char_id == char_id}
            named = [action for id_, action in part.items() if id_ not in mine]

            assert mine <= part.keys() <= whole.keys()
            assert all(part[id_] == whole[id_] for id_ in mine if not isinstance(whole[id_], Upload | Replace))
            assert all(isinstance(action, Upload | Replace) for action in named), "what its record needs or names"


@given(specs(), st.randoms(use_true_random=False))
def test_applying_each_character_alone_leaves_nothing_of_theirs_to_do(spec: Spec, random: Random) -> None:
    with spec.build() as world:
        characters = ids_of(spec)
        for char_id in random.sample(characters, len(characters)):
            world.apply(world.plan(char_id))

        assert [action for action in world.plan().actions if action.char_id in characters] == []


@given(specs())
def test_a_plan_of_one_asset_type_is_a_part_of_the_whole_plan(spec: Spec) -> None:
    with spec.build() as world:
        whole = {action.id for action in world.plan().actions}
        for rule in world.asset_map.rules:
            part = world.plan(types=(rule.type,)).actions
            # Of a list of several types' paths, the ones of this type are put right.
            single = [action for action in part if not isinstance(getattr(action, "old", None), list)]

            assert {action.id for action in single} <= whole
            assert {action.asset_type for action in part} <= {rule.type}


@given(specs(), st.randoms(use_true_random=False))
def test_shuffled_listings_and_documents_give_the_same_plan(spec: Spec, random: Random) -> None:
    with spec.build() as one, spec.build(random) as other:
        first, second = one.plan(), other.plan()

        assert _timeless(first) == _timeless(second)
        assert first.findings == second.findings
        assert first.summary == second.summary
    with spec.build() as world:
        assert world.plan().fingerprint == world.plan().fingerprint


@given(specs(), st.randoms(use_true_random=False))
def test_stages_with_rows_shuffled_and_resharded_give_the_same_plan(spec: Spec, random: Random) -> None:
    with spec.build() as world:
        found = survey(world)
        changes, findings, tallies = _plain_engine(world, random)

        assert {change.id: change for change in changes} == {change.id: change for change in found.plan.actions}
        assert len(changes) == len(found.plan.actions)
        assert findings == set(found.plan.findings)
        assert tallies == found.tallies


@given(specs())
def test_a_plan_never_names_an_object_that_will_not_be_there(spec: Spec) -> None:
    with spec.build() as world:
        plan = world.plan()
        there = {world.uri(key) for key in world.objects.all()}
        there |= {action.uri for action in plan.actions if isinstance(action, Upload | Replace)}
        for action in plan.actions:
            assert set(_new_uris(action, world)) <= there


@given(specs())
def test_after_apply_every_uri_that_was_written_leads_to_the_bytes_that_are_meant(spec: Spec) -> None:
    with spec.build() as world:
        plan = world.plan()
        world.apply(plan)
        live = world.objects.all()
        for action in plan.actions:
            needs = () if isinstance(action, Upload | Replace) else action.needs
            assert all(live[need.key].crc32c == need.crc32c for need in needs)
            assert set(_new_uris(action, world)) <= {world.uri(key) for key in live}
        told = {finding.subject for finding in world.plan().findings}
        for char_id, (fields, _) in world.records.all().items():
            broken = [key for uri in _uris(fields.get("assets")) if (key := _missing_key(uri, world)) is not None]
            assert f"characters/{char_id}" in told or told.issuperset(broken)


@given(specs())
def test_nothing_is_ever_deleted_and_nothing_but_the_planned_fields_is_touched(spec: Spec) -> None:
    with spec.build() as world:
        objects, records = world.objects.all(), world.records.all()
        plan = world.plan()
        world.apply(plan)
        replaced = {action.key for action in plan.actions if isinstance(action, Replace)}
        changes = (action for action in plan.actions if isinstance(action, SetField))
        planned = {(change.document, change.field, str(change.old)) for change in changes}
        olds = {(document, old) for document, _, old in planned}

        assert all(world.objects.all()[key] == found for key, found in objects.items() if key not in replaced)
        for char_id, (fields, _) in records.items():
            now = world.records.fields(char_id)
            assert now is not None
            name = f"characters/{char_id}"
            beside = {**fields, "assets": None}
            assert {(name, text) for text in _replaced(beside, {**now, "assets": None})} <= olds
            for at, entry in enumerate(fields["assets"] if isinstance(fields["assets"], list) else []):
                for field, value in entry.items() if isinstance(entry, dict) else ():
                    found = now["assets"][at][field]
                    if found != value and (name, field, str(value)) not in planned:
                        assert {(name, text) for text in _replaced(value, found)} <= olds


@given(specs(stops=False), st.integers(0, 7))
def test_after_a_run_in_which_uploads_failed_the_next_run_ends_where_a_sound_one_would(spec: Spec, which: int) -> None:
    with spec.build() as world, spec.build() as sound:
        sound.apply()
        world.objects.refuse = lambda key: StoreUnavailable("down") if hash_of(key) % 8 <= which else None
        world.apply()
        world.objects.refuse = lambda _key: None
        world.apply()

        assert world.plan().actions == ()
        assert {key: found.crc32c for key, found in world.objects.all().items()} == {
            key: found.crc32c for key, found in sound.objects.all().items()
        }


def _replaced(before: Any, after: Any) -> Iterator[str]:
    """The values in whose place there are others; all maps and lists are as they were."""
    if isinstance(before, dict) and isinstance(after, dict):
        assert before.keys() == after.keys()
        for name, value in before.items():
            yield from _replaced(value, after[name])
    elif isinstance(before, list) and isinstance(after, list):
        assert len(before) == len(after)
        for one, other in zip(before, after, strict=True):
            yield from _replaced(one, other)
    elif before != after:
        yield str(before)


def hash_of(key: str) -> int:
    """A number of a key that is the same in every process."""
    return sum(key.encode())


def _timeless(plan: Plan) -> list[Change]:
    """The actions without the times and generations that two equal worlds do not share."""
    out: list[Change] = []
    for action in plan.actions:
        if isinstance(action, SetField):
            out.append(msgspec.structs.replace(action, update_time=""))
        elif isinstance(action, Replace):
            out.append(msgspec.structs.replace(action, if_generation_match=1))
        else:
            out.append(action)
    return out


def _new_uris(action: Change, world: World) -> Iterator[str]:
    """Our URIs that an action would write and that did not stand there."""
    match action:
        case SetField() | RewriteLocalDb():
            yield from (uri for uri in _texts(action.new) if uri not in _texts(action.old))
        case CreateRecord():
            yield from (uri for uri in _uris(action.fields.get("assets")) if world.bucket.key(uri) is not None)
        case _:
            return


def _uris(entries: Any) -> Iterator[str]:
    for entry in entries if isinstance(entries, list) else []:
        for value in entry.values() if isinstance(entry, dict) else ():
            yield from (text for text in _texts(value) if text.startswith("gs://"))


def _texts(value: Any) -> list[str]:
    """The texts of a field: itself, or a list's."""
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]


def _missing_key(uri: str, world: World) -> str | None:
    """The key of a URI of ours that leads to no object."""
    key = world.bucket.key(uri.strip())
    return key if key is not None and world.objects.get(key) is None else None


def _plain_engine(
    world: World, random: Random
) -> tuple[list[Change], set[Finding], dict[tuple[str | None, str | None], Tally]]:
    """The stages over dictionaries: all rows read first, grouped, shuffled, and nothing skipped."""
    roster = read_roster(world, Scope(), silent)
    rows, stops = _rows(world, roster.known_ids)
    closed = tuple(sorted(stop for stop, _ in stops))
    failed = tuple(stop for stop, problem in stops if problem is FileProblem.UNREADABLE)
    context = msgspec.structs.replace(
        context_of(world, Scope(), roster), local=Coverage(unreadable=closed, failed=failed), remote=Coverage()
    )
    documents = {document.id: document for document in roster.documents}
    local = {document.id: document for document in roster.local_documents}
    asked: dict[str, list[Candidate]] = defaultdict(list)
    for kind, each in ((RecordWorld.RECORDS, documents), (RecordWorld.LOCAL_DB, local)):
        for document in each.values():
            for candidate in explode(document, kind, context):
                asked[fold(candidate.key)].append(candidate)
    outputs: list[Any] = []
    for folded in random.sample(sorted(rows.keys() | asked.keys()), len(rows.keys() | asked.keys())):
        mine, theirs = _paired(rows.get(folded, [])), asked.get(folded, [])
        outputs.extend(by_key(random.sample(mine, len(mine)), random.sample(theirs, len(theirs)), context))
    random.shuffle(outputs)
    for char_id in {*documents, *local, *(row.document for row in outputs if isinstance(row, Claim))}:
        answers = [row for row in outputs if isinstance(row, Answer) and row.document == char_id]
        claims = [row for row in outputs if isinstance(row, Claim) and row.document == char_id]
        outputs.extend(by_document(char_id, documents.get(char_id), local.get(char_id), answers, claims, context))
    outputs.extend(make(Code(problem.value), stop, None) for stop, problem in stops)
    changes = [row for row in outputs if isinstance(row, Upload | Replace | SetField | CreateRecord | RewriteLocalDb)]
    return changes, {row for row in outputs if isinstance(row, Finding)}, _tallies(outputs, changes)


def _paired(rows: list[KeyRows]) -> list[KeyRows]:
    pairing = Pairing()
    whole = [row for row in rows if not pairing.holds(row)]
    return [*whole, *pairing.rest()]


def _rows(world: World, known: frozenset[str]) -> tuple[dict[str, list[KeyRows]], list[tuple[str, FileProblem]]]:
    """What is at each key, under its folded form, and the folders that were not read."""
    by_name: dict[str, KeyRows] = {}
    stops: list[tuple[str, FileProblem]] = []
    for file in world.files.walk():
        if file.path.endswith("/"):
            assert file.problem is not None
            stops.append((file.path, file.problem))
        else:
            key = world.asset_map.key_for(file.path, known)
            by_name[key] = KeyRows(key, file.path, file)
    for found in world.objects.list():
        row = by_name.get(found.key) or KeyRows(found.key, world.asset_map.path_for(found.key, known))
        by_name[found.key] = msgspec.structs.replace(row, remote=found)
    rows: dict[str, list[KeyRows]] = defaultdict(list)
    for key, row in by_name.items():
        rows[fold(key)].append(msgspec.structs.replace(row, agreed=world.memory.states.get(key)))
    return rows, stops


def _tallies(outputs: list[Any], changes: list[Change]) -> dict[tuple[str | None, str | None], Tally]:
    """The counts, from the rows of every key."""
    unsettled = {row.key for row in outputs if isinstance(row, Unsettled)}
    unwanted = {row.key for row in outputs if isinstance(row, Unwanted)}
    to_do = {change.key for change in changes if isinstance(change, Upload | Replace)}
    to_do |= {need.key for change in changes if not isinstance(change, Upload | Replace) for need in change.needs}
    out: dict[tuple[str | None, str | None], Tally] = defaultdict(Tally)
    for row in outputs:
        if isinstance(row, KeyTally):
            tally = out[row.asset_type, row.char_id]
            tally.local += row.local
            tally.bucket += row.bucket
            tally.records += row.named
            tally.to_do += row.key in to_do
            wanted = row.wanted and row.key not in unwanted
            tally.keys += wanted
            tally.in_step += wanted and row.right and row.key not in to_do | unsettled
    return dict(out)


def test_the_worlds_that_are_tried_hold_every_kind_of_change_and_the_findings_that_matter() -> None:
    tried: set[str] = set()

    @settings(max_examples=150)
    @given(specs())
    def collect(spec: Spec) -> None:
        with spec.build() as world:
            plan = world.plan()
            tried.update(kinds(plan))
            tried.update(finding.code.value for finding in plan.findings)

    collect()
    assert {"upload", "replace", "set_field", "create_record", "rewrite_local_db"} <= tried
    assert {"missing_asset", "orphan_object", "outside_root"} <= tried
