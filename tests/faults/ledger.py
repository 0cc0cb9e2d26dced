"""What truly is and was in the simulated worlds, and what must hold of every write at the moment it lands.

It shares no code with what it judges: a diff of documents and a look at the live object, nothing more.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from reconcile.core.changes import (
    Change,
    ContentChange,
    Copy,
    CreateRecord,
    FieldChange,
    Need,
    ObjectChange,
    Reason,
    Replace,
    RewriteLocalDb,
    SetField,
    SetMetadata,
)
from reconcile.core.plan import Plan
from reconcile.core.report import OutcomeKind, Report
from reconcile.core.rows import RemoteObject
from reconcile.core.way import Titled, Trail, Way
from tests.kit.fakes import LocalDb, Records, digest
from tests.kit.world import World


class Broken(BaseException):
    """An invariant does not hold. Nothing that handles errors may stop it."""


class Held(msgspec.Struct, frozen=True):
    """A live object."""

    generation: int
    data: bytes
    crc32c: str
    metageneration: int
    type_: str | None


class Applied:
    """One applying of a plan: what it was to do, what it has seen of the bucket itself, and what it has written."""

    def __init__(self, plan: Plan, ledger: Ledger) -> None:
        self.plan = plan
        self._seen: dict[str, set[str | None]] = defaultdict(set)
        self.noted: set[str] = set()
        """What the journal had told of before it was written, by the ids of the changes."""
        self.made: set[str] = set()
        self.since = {each: len(versions) - 1 for each, versions in ledger.versions.items()}
        self.typed_since = {each: len(types) - 1 for each, types in ledger.types.items()}
        self.objects = {change.key: change for change in plan.actions if isinstance(change, ObjectChange)}

    def sees(self, found: RemoteObject) -> None:
        """The run was told that this object is there."""
        self._seen[found.key].add(found.crc32c)

    def has_seen(self, key: str, crc32c: str | None) -> bool:
        """Whether it was told so of these bytes, or, without a crc32c, of any."""
        return crc32c in self._seen[key] if crc32c is not None else bool(self._seen[key])

    def fields(self, document: str, *, local: bool) -> list[FieldChange]:
        """The field changes that are planned for a document."""
        kind = RewriteLocalDb if local else SetField
        return [each for each in self.plan.actions if isinstance(each, kind) and _id(each.document) == document]

    def alike(self, change: Change) -> set[str]:
        """The other changes that make the same of a map that reads the same: which of them was made cannot be told."""
        if not isinstance(change, SetField | RewriteLocalDb):
            return set()
        same = (change.document, change.entry, change.field, repr(change.old), repr(change.new))
        kind = type(change)
        fields = (each for each in self.plan.actions if isinstance(each, kind) and each.id != change.id)
        return {
            each.id
            for each in fields
            if (each.document, each.entry, each.field, repr(each.old), repr(each.new)) == same
        }

    def creation(self, document: str) -> CreateRecord | None:
        """The creation that is planned for it."""
        creations = (each for each in self.plan.actions if isinstance(each, CreateRecord))
        return next((each for each in creations if _id(each.document) == document), None)


class Ledger:
    """Every write of the simulation is told here, by whoever made it, right after it landed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._bucket = world.settings.bucket
        self._entries = world.settings.entries.top
        self._key = world.settings.entries.key
        self._moment = 0
        self.done: Counter[str] = Counter()
        """What runs did, by kind; apart from these what they did to indexes."""
        self.objects: dict[str, Held] = {}
        self.types: dict[str, list[tuple[int, str | None]]] = defaultdict(list)
        """Every generation of an object with every type that it had."""
        self.files: dict[str, bytes] = {}
        self.contents: set[bytes] = {b""}
        self.versions: dict[tuple[bool, str], list[Any]] = defaultdict(list)
        for key in world.objects.all():
            self._note_object(key)
        for local, store in self._stores():
            for document in store.all():
                self._note_document(document, local=local)
        for path, file in world.files.files.items():
            self.note_file(path, file.data)

    # -- what others did --

    def note_file(self, path: str, data: bytes | None) -> None:
        """The pipeline wrote a file, or took it away."""
        if data is None:
            self.files.pop(path, None)
        else:
            self.files[path] = data
            self.contents.add(data)

    def note_object(self, key: str) -> None:
        """Somebody else wrote an object, or removed it."""
        self._note_object(key)
        # The embedded store's time is the machine's; a run that is repeated must see the same order.
        self._moment += 1
        self._world.objects.updated[key] = f"2026-02-01T00:00:00.{self._moment:06}Z"

    def note_document(self, document: str, *, local: bool = False) -> None:
        """Somebody else wrote, or removed, a document."""
        self._note_document(document, local=local)

    def document(self, document: str, *, local: bool = False) -> dict[str, Any] | None:
        """The fields as they stand; a copy."""
        versions = self.versions.get((local, document))
        found: dict[str, Any] | None = json.loads(json.dumps(versions[-1])) if versions else None
        return found

    def documents(self, *, local: bool = False) -> list[str]:
        """The documents that are there."""
        return sorted(name for (where, name), all_ in self.versions.items() if where is local and all_[-1] is not None)

    # -- what a run did --

    def arrived(self, run: Applied, key: str, source: str | None = None) -> None:
        """A run wrote an object, or copied it from another one."""
        before, change = self.objects.get(key), run.objects.get(key)
        self.note_object(key)
        now = self.objects[key]
        _hold(change is not None, f"an object was written that the plan does not name: {key}")
        assert change is not None
        assert isinstance(change, ContentChange)
        _hold((before.generation if before else 0) == change.if_generation_match, f"bytes were lost: {key}")
        _hold(before is None or isinstance(change, Replace), f"an upload replaced an object: {key}")
        _hold(now.crc32c == change.crc32c, f"other bytes arrived than were planned: {key}")
        _hold(now.data in self.contents, f"bytes arrived that no file ever held: {key}")
        if source is not None:
            origin = self.objects.get(source)
            is_planned = isinstance(change, Copy) and change.source == self._bucket.uri(source)
            _hold(is_planned, f"{key} was copied from {source}, which is not planned")
            assert isinstance(change, Copy)
            same = origin is not None and origin.generation == change.source_generation
            _hold(same, f"{key} was copied from another generation of {source}")

    def retyped(self, run: Applied, found: RemoteObject) -> None:
        """A run set the content type of an object."""
        key, before = found.key, self.objects.get(found.key)
        change = run.objects.get(key)
        self.note_object(key)
        _hold(isinstance(change, SetMetadata), f"a type was set that the plan does not name: {key}")
        assert isinstance(change, SetMetadata)
        _hold(found.content_type == change.content_type, f"another type was set than was planned: {key}")
        run.made.add(change.id)
        assert before is not None
        seen = (change.if_generation_match, change.if_metageneration_match, change.old)
        said = (before.generation, before.metageneration, before.type_ or None)
        _hold(said == seen, f"what somebody said of an object was lost: {key}: {said}")
        now = self.objects[key]
        same = (now.generation, now.data) == (before.generation, before.data)
        _hold(same, f"setting a type changed the bytes: {key}")

    def updated(self, run: Applied, document: str, *, local: bool = False) -> None:
        """A run changed a document."""
        before = self.document(document, local=local)
        self._note_document(document, local=local)
        now = self.document(document, local=local)
        where = f"{'local database' if local else 'records'}, {document}"
        _hold(before is not None and now is not None, f"a document that is not there was updated: {where}")
        assert before is not None
        assert now is not None
        planned = run.fields(document, local=local)
        made = self._indexed(run, before, now, [each for each in planned if each.reason is Reason.INDEX], where)
        placed = [each for each in planned if each.way and each.reason is not Reason.INDEX]
        for trail in list(_elsewhere(before, now, self._entries)):
            made.append(_taken_at(placed, before, now, trail, self._key, where))
            _at(now, trail[:-1])[trail[-1]] = _at(before, trail)
        was, became = before.pop(self._entries, None), now.pop(self._entries, None)
        _hold(_same(before, now), f"a field beside the entries was changed: {where}: {before} → {now}")
        if not _same(was, became):
            made += _made(was, became, [each for each in planned if not each.way], self._key, where)
        run.made.update(change.id for change in made)
        for change in made:
            told = change.id in run.noted or not run.noted.isdisjoint(run.alike(change))
            _hold(told, f"written before the journal told of it: {where}: {change}")
            kept = set(_texts(change.old))
            self._check_references((text for text in _texts(change.new) if text not in kept), change.needs, run, where)

    def _indexed(self, run: Applied, before: Any, now: Any, planned: Iterable[Any], where: str) -> list[Any]:
        """The planned changes of the index that were made; takes it out of both versions."""
        made = []
        for change in planned:
            was, became = before.get(change.field) or [], now.get(change.field) or []
            adds = change.asset_type in change.new
            if (change.asset_type in became) is adds and (change.asset_type in was) is not adds:
                made.append(change)
                lost = adds and not (change.needs and all(self._is_there(need, run) for need in change.needs))
                _hold(not lost, f"an index names a type whose object is not there: {where}: {change}")
        for field in {change.field for change in planned}:
            was, became = before.pop(field, None) or [], now.pop(field, None) or []
            told = {change.asset_type for change in made}
            _hold(set(was) ^ set(became) == told, f"an index was changed otherwise than planned: {where}: {became}")
            _hold(became == sorted(became) or was == became, f"an index is not sorted: {where}: {became}")
        return made

    def _is_there(self, need: Need, run: Applied) -> bool:
        live = self.objects.get(need.key)
        return run.has_seen(need.key, need.crc32c) or (live is not None and need.crc32c in (None, live.crc32c))

    def created(self, run: Applied, document: str) -> None:
        """A run made a document."""
        before = self.document(document)
        self._note_document(document, local=False)
        change, now = run.creation(document), self.document(document)
        _hold(before is None, f"a document that is there was created: {document}")
        _hold(change is not None, f"a document was created that the plan does not name: {document}")
        assert change is not None
        assert now is not None
        _hold(_same(now, self._present(change, now)), f"other fields were created than were planned: {document}")
        _hold(self._is_still_meant(change, run), f"created of what the local database no longer held: {document}")
        _hold(change.id in run.noted, f"created before the journal told of it: {document}")
        run.made.add(change.id)
        self._check_references(_texts(now), change.needs, run, document)

    def _check_references(self, texts: Iterable[str], needs: Iterable[Need], run: Applied, where: str) -> None:
        """Each URI of ours leads to a live object with the bytes that are meant. Where somebody replaced or removed
        them since, the run must have seen them there itself."""
        meant = {need.key: need.crc32c for need in needs}
        for text in texts:
            key = self._bucket.key(text.strip())
            if key is None:
                continue
            _hold(key in meant, f"a URI was written that the plan does not need: {text} in {where}")
            live, seen = self.objects.get(key), run.has_seen(key, meant[key])
            _hold(live is not None or seen, f"a record names an object that is not there: {text} in {where}")
            right = seen or live is None or meant[key] in (None, live.crc32c)
            _hold(right, f"a record names other bytes than are meant: {text} in {where}")

    # -- what a run said --

    def told(self, run: Applied, report: Report) -> None:
        """The report is true."""
        changes = {change.id: change for change in run.plan.actions}
        _hold([each.id for each in report.outcomes] == list(changes), "the report does not match the plan")
        for outcome in report.outcomes:
            change = changes[outcome.id]
            kind = outcome.outcome
            _hold("an unexpected error: " not in (outcome.error or ""), f"{outcome.error}")
            done = kind in (OutcomeKind.APPLIED, OutcomeKind.ALREADY)
            what = "index" if getattr(change, "reason", None) is Reason.INDEX else outcome.kind
            self.done[what] += kind is OutcomeKind.APPLIED
            if isinstance(change, ContentChange):
                _hold(not done or run.has_seen(change.key, change.crc32c), f"{kind.value}, but not there: {change.key}")
                continue
            if isinstance(change, ObjectChange):
                made = change.id in run.made
                _hold(kind is not OutcomeKind.APPLIED or made, f"said to be applied, but not: {change}")
                was = self.types[change.key][max(0, run.typed_since.get(change.key, 0)) :]
                had = (change.if_generation_match, change.content_type) in was
                _hold(kind is not OutcomeKind.ALREADY or had, f"said to be so already, but it never was: {change}")
                continue
            made = change.id in run.made or not run.made.isdisjoint(run.alike(change))
            _hold(kind is not OutcomeKind.APPLIED or made, f"said to be applied, but not: {change}")
            alone = not run.alike(change)
            untold = kind in (OutcomeKind.BLOCKED, OutcomeKind.NOT_STARTED) and change.id in run.made and alone
            _hold(not untold, f"said to be {kind.value}, but written: {change}")
            if kind is OutcomeKind.ALREADY:
                was_so = self._was_made(change, run) if isinstance(change, CreateRecord) else self._was_so(change, run)
                _hold(was_so, f"said to be so already, but it never was: {change}")

    def _was_so(self, change: FieldChange, run: Applied) -> bool:
        """Whether the field held the new value at some time since the run began."""
        place = (isinstance(change, RewriteLocalDb), _id(change.document))
        for version in self.versions[place][max(0, run.since.get(place, 0)) :]:
            if change.reason is Reason.INDEX:
                if (change.asset_type in ((version or {}).get(change.field) or [])) is (
                    change.asset_type in change.new
                ):
                    return True
                continue
            if change.way and change.new in _texts(version or {}):
                return True
            entries = (version or {}).get(self._entries)
            for entry in entries if isinstance(entries, list) else []:
                alike = isinstance(entry, dict) and _title(entry, self._key) == change.entry
                if alike and _same(entry.get(change.field), change.new):
                    return True
        return False

    def _was_made(self, change: CreateRecord, run: Applied) -> bool:
        """Whether the record held these entries at some time since the run began, objects that are not there aside."""
        place = (False, _id(change.document))
        for version in self.versions[place][max(0, run.since.get(place, 0)) :]:
            if version is not None:
                wanted = self._present(change, version)
                if _same(version.get(self._entries), wanted.get(self._entries)):
                    return True
        return False

    def _is_still_meant(self, change: CreateRecord, run: Applied) -> bool:
        """Whether the local database held every text of the new record at some time since the run began."""
        place = (True, _id(change.document))
        entries = change.fields.get(self._entries) or []
        added = {self._bucket.uri(need.key) for need in change.needs} | {_title(each, self._key) for each in entries}
        texts = set(_texts(change.fields)) - added
        return any(texts <= set(_texts(each)) for each in self.versions[place][max(0, run.since.get(place, 0)) :])

    def _present(self, change: CreateRecord, version: Any) -> Any:
        """The fields of a new record without the URIs that this version does not name."""
        written = set(_texts(version))
        return _less(
            change.fields, {uri for need in change.needs if (uri := self._bucket.uri(need.key)) not in written}
        )

    # -- the end --

    def check_indexes(self, known_ids: frozenset[str]) -> None:
        """After a quiet run the index of each record tells the types that it names and the bucket has. What a type is,
        the rules say; those of which a file is not in the bucket as it is here are in doubt, and passed over."""
        index = self._world.settings.index
        types = {rule.type for rule in self._world.asset_map.rules}

        def type_of(key: str) -> str | None:
            path = self._world.asset_map.path_for(key, known_ids)
            reading = None if path is None else self._world.asset_map.read(path, known_ids)
            return None if reading is None else reading.rule.type

        files = {self._world.asset_map.key_for(path, known_ids): path for path in self.files}
        doubt = {type_of(key) for key, path in files.items() if self._differs(key, path)}
        for document in self.documents():
            fields = self.document(document) or {}
            held, entries = fields.pop(index, None), fields.get(self._entries)
            if not _is_sound(entries, self._key) or not (held is None or (isinstance(held, list) and types >= {*held})):
                continue
            for entry in entries or ():
                entry.pop(self._key, None)
            keys = {key for text in _texts(fields) if (key := self._bucket.key(text)) is not None}
            there = {type_of(key) for key in keys if key in self.objects and self.objects[key].data}
            wrong = (there ^ {*(held or ())}) - doubt - {None}
            _hold(not wrong, f"the index of {document} is wrong about {sorted(map(str, wrong))}: {held} {fields}")

    def _differs(self, key: str, path: str) -> bool:
        """Whether a file is not surely the object."""
        live, file = self.objects.get(key), self._world.files.files[path]
        return file.problem is not None or live is None or live.data != file.data or key in self._world.objects.unhashed

    def settle(self) -> None:
        """The worlds are what was told: nothing was written, deleted or touched behind the back of this ledger."""
        files = {path: file.data for path, file in self._world.files.files.items()}
        _hold(files == self.files, "local files were touched")
        _hold(self._world.objects.all().keys() == self.objects.keys(), "objects came or went untold")
        for key, held in self.objects.items():
            _hold(self._read(key) == held, f"the bytes of {key} are others than were told")
        for local, store in self._stores():
            _hold(
                sorted(store.all()) == self.documents(local=local),
                f"documents came or went untold: {sorted(store.all())} {self.documents(local=local)}",
            )
            for document in store.all():
                _hold(_same(store.fields(document), self.document(document, local=local)), f"{document} changed untold")

    def _stores(self) -> Iterator[tuple[bool, Records | LocalDb]]:
        yield False, self._world.records
        if self._world.local_db is not None:
            yield True, self._world.local_db

    def _note_object(self, key: str) -> None:
        held = self._read(key)
        if held is None:
            self.objects.pop(key, None)
        else:
            self.objects[key] = held
            self.types[key].append((held.generation, held.type_))

    def _read(self, key: str) -> Held | None:
        found = self._world.objects.get(key)
        if found is None:
            return None
        data = b"".join(self._world.objects.read(key))
        return Held(found.generation, data, digest(data), found.metageneration, found.content_type)

    def _note_document(self, document: str, *, local: bool) -> None:
        store = self._world.local_db if local else self._world.records
        assert store is not None
        self.versions[local, document].append(store.fields(document))


def _made(was: Any, became: Any, planned: list[FieldChange], entry_key: str, where: str) -> Iterator[FieldChange]:
    """The planned changes that lead from these entries to those. Raises Broken where something else was changed too."""
    _hold(isinstance(became, list) and (was is None or isinstance(was, list)), f"the entries are no list: {where}")
    left = list(planned)
    old = list(was or [])
    _hold(len(became) >= len(old), f"an entry was lost: {where}: {old} → {became}")
    for at, (before, now) in enumerate(zip(old, became[: len(old)], strict=True)):
        if _same(before, now):
            continue
        both = isinstance(before, dict) and isinstance(now, dict) and before.keys() <= now.keys()
        _hold(both, f"an entry was changed beside the plan: {where}: {before} → {now}")
        for field in now:
            if field not in before or not _same(before[field], now[field]):
                change = _taken(left, at, _title(before, entry_key), field, before.get(field), now[field], where)
                spared = any(_is_meant(each, change, entry_key) for each in became[: len(old)])
                _hold(not spared or change.position == at, f"one of several alike was guessed: {where}: {change}")
                yield change
    for now in became[len(old) :]:
        title = _title(now, entry_key)
        _hold(title is not None and title not in {_title(each, entry_key) for each in old}, f"an odd entry: {now}")
        for field in now:
            if field != entry_key:
                change = _taken(left, None, title, field, None, now[field], where)
                _hold(change.position is None, f"an entry that somebody removed was made again: {where}: {now}")
                yield change


def _elsewhere(before: Any, now: Any, entries: str, trail: Trail = ()) -> Iterator[Trail]:
    """Where a text outside the plain fields of the entries' maps became another."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in before.keys() & now.keys():
            is_field = len(trail) == 2 and trail[0] == entries and isinstance(trail[1], int)
            if not (is_field and (isinstance(before[name], str) or _is_flat(before[name]))):
                yield from _elsewhere(before[name], now[name], entries, (*trail, name))
    elif isinstance(before, list) and isinstance(now, list):
        for at, (one, other) in enumerate(zip(before, now, strict=False)):
            yield from _elsewhere(one, other, entries, (*trail, at))
    elif isinstance(before, str) and isinstance(now, str) and before != now:
        yield trail


def _is_sound(entries: Any, entry_key: str) -> bool:
    """Whether these are maps of which no two have one key; none at all are, too."""
    if entries is None:
        return True
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        return False
    titles = [title for each in entries if (title := _title(each, entry_key)) is not None]
    return len(titles) == len({*titles})


def _is_flat(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(each, dict | list) for each in value)


def _at(value: Any, trail: Trail) -> Any:
    for step in trail:
        value = value[step]
    return value


def _taken_at(left: list[FieldChange], before: Any, now: Any, trail: Trail, entry_key: str, where: str) -> FieldChange:
    """The planned change that was made at the end of this trail, taken from those that are left: the one for this very
    place, or one that is reached by the same names."""
    old, new = _at(before, trail), _at(now, trail)

    def is_exact(way: Way) -> bool:
        return all(step == at for step, at in zip(way, trail, strict=True) if not isinstance(step, Titled))

    for change in sorted(left, key=lambda each: len(each.way) != len(trail) or not is_exact(each.way)):
        steps = list(zip(change.way, trail, strict=False))
        reached = len(change.way) == len(trail) and all(
            step.title == _title(_at(before, trail[: depth + 1]), entry_key)
            if isinstance(step, Titled)
            else isinstance(step, int) == isinstance(at, int) and (isinstance(step, int) or step == at)
            for depth, (step, at) in enumerate(steps)
        )
        if reached and (change.old, change.new) == (old, new):
            left.remove(change)
            return change
    raise Broken(f"somebody's update was lost: {where}: {trail}: {old!r} → {new!r} is not planned")


def _is_meant(entry: Any, change: FieldChange, entry_key: str) -> bool:
    is_titled = isinstance(entry, dict) and _title(entry, entry_key) == change.entry
    return is_titled and _same(entry.get(change.field), change.old)


def _taken(
    left: list[FieldChange], at: int | None, title: str | None, field: str, old: Any, new: Any, where: str
) -> FieldChange:
    """The planned change that was made, taken from those that are left: of several alike, the one for this place."""
    for change in sorted(left, key=lambda each: each.position != at):
        if (change.entry, change.field) == (title, field) and _same(change.old, old) and _same(change.new, new):
            left.remove(change)
            return change
    raise Broken(f"somebody's update was lost: {where}: {title}.{field}: {old!r} → {new!r} is not planned")


def _less(value: Any, gone: set[str]) -> Any:
    """The value without these texts, wherever they stand."""
    if isinstance(value, Mapping):
        kept = {key: item for key, item in value.items() if not (isinstance(item, str) and item in gone)}
        return {key: _less(item, gone) for key, item in kept.items()}
    if isinstance(value, list):
        return [_less(item, gone) for item in value if not (isinstance(item, str) and item in gone)]
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


def _title(entry: Any, entry_key: str) -> str | None:
    title = entry.get(entry_key) if isinstance(entry, dict) else None
    return title if isinstance(title, str) else None


def _id(document: str) -> str:
    return document.rpartition("/")[2]


def _same(one: Any, other: Any) -> bool:
    """Whether two values are one JSON text: 1 is neither True nor 1.0."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _hold(true: bool, otherwise: str) -> None:
    if not true:
        raise Broken(otherwise)
