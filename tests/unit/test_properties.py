"""What holds of every world: runs converge, scopes are parts, order does not matter, and nothing is lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.config.naming import scope_named
from reconcile.core.catalogue import AssetState
from reconcile.core.changes import (
    Change,
    Code,
    ContentChange,
    Copy,
    CreateRecord,
    ObjectChange,
    Reason,
    Replace,
    RewriteLocalDb,
    SetField,
    SetMetadata,
    Upload,
    keys_about,
    texts_in,
)
from reconcile.core.context import Context, Replacing
from reconcile.core.errors import StoreUnavailable
from reconcile.core.events import silent
from reconcile.core.findings import make
from reconcile.core.names import fold
from reconcile.core.plan import Plan, Scope
from reconcile.core.planfile import dumps
from reconcile.core.rows import Coverage, FileProblem, KeyRow, Row, Stream
from reconcile.core.rows import World as RecordWorld
from reconcile.core.stages import document_stage, explode_stage, key_stage
from reconcile.core.status import Tally
from reconcile.pipeline.catalogue import Catalogue
from reconcile.pipeline.planner import survey
from reconcile.pipeline.roster import context_of, read_roster
from tests.kit.engines import DictionaryEngine
from tests.kit.search import sparingly
from tests.kit.world import World, kinds
from tests.kit.worlds import INDEX, Spec, ids_of, specs


@sparingly(40)
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


@sparingly(40)
@given(specs())
def test_a_plan_writes_nothing_anywhere(spec: Spec) -> None:
    with spec.build() as world:
        before = world.snapshot()
        world.plan()

        assert world.snapshot() == before
        assert world.writes() == []
        assert world.files.opened == []


@sparingly(40)
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
            assert all(part[id_] == whole[id_] for id_ in mine if not isinstance(whole[id_], ContentChange))
            assert all(isinstance(action, ObjectChange) for action in named), "what its record needs or names"


@sparingly(40)
@given(specs(), st.randoms(use_true_random=False))
def test_applying_each_character_alone_leaves_nothing_of_theirs_to_do(spec: Spec, random: Random) -> None:
    with spec.build() as world:
        characters = ids_of(spec)
        for char_id in random.sample(characters, len(characters)):
            world.apply(world.plan(char_id))

        assert [action for action in world.plan().actions if action.char_id in characters] == []


@sparingly(40)
@given(specs())
def test_a_plan_of_one_asset_type_is_a_part_of_the_whole_plan(spec: Spec) -> None:
    with spec.build() as world:
        whole = {action.id for action in world.plan().actions}
        for rule in world.asset_map.rules:
            part = world.plan(types=(rule.type,)).actions

            assert {action.id for action in part if not _is_of_list(action)} <= whole
            assert {action.asset_type for action in part} <= {rule.type}


@sparingly(40)
@given(specs())
def test_a_plan_of_one_asset_is_just_what_the_whole_plan_does_about_it(spec: Spec) -> None:
    with spec.build() as world:
        whole = [action for action in world.plan().actions if not (_is_of_index(action) or _is_of_list(action))]
        keys = {key for action in whole for key in keys_about(action)} | world.objects.all().keys()
        for key in keys:
            plan = survey(world, scope_named(world.settings, paths=[world.uri(key)])).plan
            part = [action for action in plan.actions if not (_is_of_index(action) or _is_of_list(action))]

            assert {action.id for action in part} == {each.id for each in whole if key in keys_about(each)}
            assert all(action in whole for action in part)


def _is_of_list(action: Change) -> bool:
    """Whether it sets a field that is a list, which gets what is in scope alone."""
    return any(isinstance(getattr(action, name, None), list) for name in ("old", "new"))


def _is_of_index(action: Change) -> bool:
    """Whether it is about all assets of a record that have a type, of which a plan of one asset sees just that one."""
    return isinstance(action, SetField) and action.reason is Reason.INDEX


@sparingly(40)
@given(specs(), st.randoms(use_true_random=False))
def test_shuffled_listings_and_documents_give_the_same_plan(spec: Spec, random: Random) -> None:
    with spec.build() as one, spec.build(random) as other:
        first, second = one.plan(), other.plan()

        assert _timeless(first) == _timeless(second)
        assert first.findings == second.findings
        assert first.summary == second.summary
    with spec.build() as world:
        assert world.plan().fingerprint == world.plan().fingerprint


@sparingly(40)
@given(specs(), st.randoms(use_true_random=False))
def test_every_engine_gives_the_plan_of_the_plain_one_byte_for_byte(spec: Spec, random: Random) -> None:
    with spec.build() as world:
        for char_ids in ((), ids_of(spec)[:1]):
            plain, found = (
                survey(world, Scope(tuple(char_ids)), engine=DictionaryEngine(random)),
                world.survey(*char_ids),
            )

            assert _bytes_of(found.plan) == _bytes_of(plain.plan)
            assert found.tallies == plain.tallies


@sparingly(40)
@given(specs(), st.randoms(use_true_random=False))
def test_stages_over_rows_that_were_read_one_world_after_the_other_give_the_same_plan(
    spec: Spec, random: Random
) -> None:
    with spec.build() as world:
        found = survey(world)
        rows = list(_plain_rows(world, random))
        changes = [row.value for row in rows if row.stream is Stream.CHANGE]

        assert {change.id: change for change in changes} == {each.id: _sent(each) for each in found.plan.actions}
        assert len(changes) == len(found.plan.actions)
        assert {row.value for row in rows if row.stream is Stream.FINDING} == set(found.plan.findings)
        assert _tallies(rows) == found.tallies


@sparingly(40)
@given(specs())
def test_a_key_that_a_planned_change_needs_is_to_do_and_never_in_step(spec: Spec) -> None:
    with spec.build() as world:
        found = world.survey()
        about_keys = (each for each in found.plan.actions if not (isinstance(each, SetField) and each.is_index))
        needed = {key for action in about_keys for key in keys_about(action)}
        to_do = sum(tally.to_do for tally in found.tallies.values())
        in_step = {row.value.key for row in _plain_rows(world, Random(0)) if row.stream is Stream.TALLY} - needed

        assert to_do == len(needed)
        assert found.plan.summary.in_step <= len(in_step)


@sparingly(40)
@given(specs())
def test_what_passes_between_stages_is_flat_and_can_be_written_down(spec: Spec) -> None:
    with spec.build() as world:
        passing = (Stream.REFERENCE, Stream.KEY, Stream.ANSWER, Stream.CLAIM, Stream.TALLY)
        rows = [row for row in _plain_rows(world, Random(0), whole=True) if row.stream in passing]

        assert all(_again(row.value) == row.value for row in rows)


@sparingly(40)
@given(specs())
def test_a_plan_never_names_an_object_that_will_not_be_there(spec: Spec) -> None:
    with spec.build() as world:
        plan = world.plan()
        there = {world.uri(key) for key in world.objects.all()}
        there |= {action.uri for action in plan.actions if isinstance(action, ContentChange)}
        for action in plan.actions:
            assert set(_new_uris(action, world)) <= there


@sparingly(40)
@given(specs())
def test_after_apply_every_uri_that_was_written_leads_to_the_bytes_that_are_meant(spec: Spec) -> None:
    with spec.build() as world:
        plan = world.plan()
        world.apply(plan)
        live = world.objects.all()
        for action in plan.actions:
            needs = () if isinstance(action, ObjectChange) else action.needs
            assert all(live[need.key].crc32c == need.crc32c for need in needs)
            assert set(_new_uris(action, world)) <= {world.uri(key) for key in live}
        told = {finding.subject for finding in world.plan().findings}
        for char_id, (fields, _) in world.records.all().items():
            broken = [key for uri in _uris(fields.get("assets")) if (key := _missing_key(uri, world)) is not None]
            assert f"characters/{char_id}" in told or told.issuperset(broken)


@sparingly(40)
@given(specs())
def test_after_apply_the_index_says_the_types_of_what_the_record_names_and_the_bucket_has(spec: Spec) -> None:
    with msgspec.structs.replace(spec, index=INDEX, replacing=Replacing.LOCAL, stops=()).build() as world:
        world.apply()
        told = {finding.subject for finding in world.plan().findings}
        types = {row.uri: row.asset_type for row in Catalogue(world, Scope()) if row.state is AssetState.IN_STEP}
        waiting = {path for path, file in world.files.files.items() if file.problem is not None}
        in_doubt = {rule.type for rule in map(world.asset_map.first_match, waiting) if rule is not None}
        for char_id, (fields, _) in world.records.all().items():
            named = {text for text in texts_in(fields) if world.bucket.key(text) is not None}
            if f"characters/{char_id}" not in told and named <= types.keys():
                listed = sorted(each for each in fields.get(INDEX) or [] if each not in in_doubt)
                assert listed == sorted({types[uri] for uri in named} - {None, *in_doubt})


@sparingly(40)
@given(specs())
def test_nothing_is_ever_deleted_and_nothing_but_the_planned_fields_is_touched(spec: Spec) -> None:
    with spec.build() as world:
        objects, records = world.objects.all(), world.records.all()
        plan = world.plan()
        world.apply(plan)
        replaced = {action.key for action in plan.actions if isinstance(action, Replace)}
        retyped = {each.key: each.content_type for each in plan.actions if isinstance(each, SetMetadata)}
        changes = (action for action in plan.actions if isinstance(action, SetField))
        planned = {(change.document, change.field, str(change.old)) for change in changes}
        olds = {(document, old) for document, _, old in planned}

        for key, type_ in retyped.items():
            before, after = objects[key], world.objects.all()[key]
            assert (before.content_type, after.content_type) == ("text/plain", type_)
            same = {name: getattr(before, name) for name in ("content_type", "metageneration", "updated")}
            assert msgspec.structs.replace(after, **same) == before
        still = objects.keys() - replaced - retyped.keys()
        assert all(world.objects.all()[key] == objects[key] for key in still)
        for char_id, (fields, _) in records.items():
            now = world.records.fields(char_id)
            assert now is not None
            name = f"characters/{char_id}"
            index = {"assets": None, INDEX: None}
            assert {(name, text) for text in _replaced({**fields, **index}, {**now, **index})} <= olds
            if fields.get(INDEX) != now.get(INDEX):
                assert (name, INDEX, str(fields.get(INDEX))) in planned
                assert set(now[INDEX]) <= {rule.type for rule in world.asset_map.rules}
            for at, entry in enumerate(fields["assets"] if isinstance(fields["assets"], list) else []):
                for field, value in entry.items() if isinstance(entry, dict) else ():
                    found = now["assets"][at][field]
                    if found != value and (name, field, str(value)) not in planned:
                        assert {(name, text) for text in _replaced(value, found)} <= olds


@sparingly(40)
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


def _sent(change: Change) -> Change:
    """The change, with the upload that it is in place of a copy."""
    if not isinstance(change, Copy):
        return change
    return Upload(**{name: getattr(change, name) for name in Upload.__struct_fields__})


def _timeless(plan: Plan) -> list[Change]:
    """The actions without the times and generations that two equal worlds do not share."""
    out: list[Change] = []
    for action in plan.actions:
        if isinstance(action, SetField):
            out.append(msgspec.structs.replace(action, update_time=""))
        elif isinstance(action, Copy):
            out.append(msgspec.structs.replace(action, source_generation=1))
        elif isinstance(action, Replace | SetMetadata):
            out.append(msgspec.structs.replace(action, if_generation_match=1))
        else:
            out.append(action)
    return out


def _new_uris(action: Change, world: World) -> Iterator[str]:
    """Our URIs that an action would write and that did not stand there."""
    match action:
        case SetField() if action.is_index:
            return
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


def _again(value: Any) -> Any:
    """The value, written down and read."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value), type=type(value))


def _plain_rows(world: World, random: Random, *, whole: bool = False) -> Iterator[Row]:
    """What the stages yield over dictionaries: all rows are read first, one world after the other, and shuffled. The
    ``whole`` of it has the references and keys too."""
    roster = read_roster(world, Scope(), silent)
    stops = {file.path: file.problem for file in world.files.walk() if file.path.endswith("/") and file.problem}
    failed = tuple(stop for stop, problem in stops.items() if problem is FileProblem.UNREADABLE)
    local = Coverage(unreadable=tuple(sorted(stops)), failed=failed)
    context = msgspec.structs.replace(context_of(world, roster), local=local, remote=Coverage())
    records = {RecordWorld.RECORDS: roster.documents, RecordWorld.LOCAL_DB: roster.local_documents}
    references = [
        row for kind, documents in records.items() for each in documents for row in explode_stage(each, kind, context)
    ]
    keys = [*_keys(world, roster.known_ids), *(KeyRow(row.value.key, row.value.key) for row in references)]
    known = [_as_known(each, world, context) for each in keys]
    engine = DictionaryEngine(random)
    groups = engine.group([*references, *(Row(Stream.KEY, fold(each.key), each) for each in known)])
    found = [row for _, group in groups for row in key_stage(group, context)]
    documents = [Row(Stream.RECORD, each.id, each) for each in roster.documents]
    documents += [Row(Stream.LOCAL_RECORD, each.id, each) for each in roster.local_documents]
    passed = [row for row in found if row.stream in (Stream.ANSWER, Stream.CLAIM)]
    for char_id, group in engine.group([*documents, *passed]):
        found += document_stage(char_id, group, context)
    if whole:
        yield from (*references, *(Row(Stream.KEY, each.key, each) for each in known))
    yield from found
    for stop, problem in stops.items():
        yield Row(Stream.FINDING, stop, make(Code(problem.value), stop, None))


def _keys(world: World, known: frozenset[str]) -> Iterator[KeyRow]:
    """A row for each file, each object and each agreed state."""
    for file in world.files.walk():
        if not file.path.endswith("/"):
            yield KeyRow(world.asset_map.key_for(file.path, known), file.path, file)
    for found in world.objects.list():
        yield KeyRow(found.key, world.asset_map.path_for(found.key, known), remote=found)
    for state in world.memory.all():
        yield KeyRow(state.key, world.asset_map.path_for(state.key, known), agreed=state)


def _as_known(row: KeyRow, world: World, context: Context) -> KeyRow:
    """The row, with what is known of its key when everything was read."""
    path = row.path if row.local is not None else world.asset_map.path_for(row.key, context.known_ids)
    local_known = row.local is not None or path is None or context.local.covers(path)
    return msgspec.structs.replace(row, path=path, local_known=local_known, remote_known=True)


def _bytes_of(plan: Plan) -> bytes:
    return dumps(msgspec.structs.replace(plan, created=""))


def _tallies(rows: list[Row]) -> dict[tuple[str | None, str | None], Tally]:
    """The counts, from the rows of every key."""
    marks = [row.value for row in rows if row.stream is Stream.MARK]
    unsettled = {mark.key for mark in marks if mark.state is AssetState.HELD}
    unwanted = {mark.key for mark in marks if mark.state is AssetState.ORPHAN}
    to_do = {key for row in rows if row.stream is Stream.CHANGE for key in keys_about(row.value)}
    out: dict[tuple[str | None, str | None], Tally] = defaultdict(Tally)
    for row in (each.value for each in rows if each.stream is Stream.TALLY):
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
    assert {"upload", "replace", "copy", "set_metadata", "set_field", "create_record", "rewrite_local_db"} <= tried
    assert {"missing_asset", "orphan_object", "outside_root"} <= tried
