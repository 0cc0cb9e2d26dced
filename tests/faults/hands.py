"""Everybody else: the pipeline, editors and other programs, who write to the simulated worlds as they please."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from reconcile.core.media import content_type
from tests.faults.ledger import Ledger
from tests.kit.fakes import LocalDb, Records
from tests.kit.world import World
from tests.kit.worlds import ENDS, FIELDS, FORMS, INDEX, TWINS, Spec, ids_of


class Hands:
    """One write at a time, drawn; each is told to the ledger."""

    def __init__(self, world: World, spec: Spec, ledger: Ledger, dice: Random, log: Callable[[str], None]) -> None:
        self._world = world
        self._ledger = ledger
        self._dice = dice
        self._log = log
        self._ids = ids_of(spec) or ["rem"]
        paths = [thing.key for thing in spec.things]
        more = [end.format(dice.choice(self._ids)) for end in dice.sample(ENDS, 2)]
        self._paths = list(dict.fromkeys([*paths, *more]))
        self._keys = [world.asset_map.key_for(path, frozenset(self._ids)) for path in self._paths]
        self._number = 0
        self._acts: Sequence[Callable[[], str]] = (
            self._edit_field,
            self._edit_field,
            self._edit_record,
            *([self._edit_index] if spec.index else []),
            self._reorder,
            self._double,
            self._drop_entry,
            self._delete,
            self._recreate,
            self._overwrite,
            self._overwrite,
            self._remove_object,
            self._retype,
            self._write_file,
            self._write_file,
            self._write_in_place,
            self._truncate,
            self._remove_file,
        )
        self.counts: Counter[str] = Counter()

    def act(self) -> None:
        """Writes something somewhere."""
        act = self._dice.choice(self._acts)
        said = act()
        if said:
            self.counts[act.__name__.strip("_")] += 1
            self._log(f"somebody: {said}")

    # -- records --

    def _store(self) -> tuple[bool, Records | LocalDb]:
        local = self._world.local_db is not None and self._dice.random() < 0.3
        return local, self._world.local_db if local and self._world.local_db is not None else self._world.records

    def _change(self, change: Callable[[dict[str, Any]], str]) -> str:
        """Changes a document that is there."""
        local, store = self._store()
        names = self._ledger.documents(local=local)
        if not names:
            return ""
        name = self._dice.choice(names)
        fields = self._ledger.document(name, local=local)
        assert fields is not None
        said = change(fields)
        store.put(name, fields)
        self._ledger.note_document(name, local=local)
        return f"{'local database' if local else 'records'}, {name}: {said}"

    def _edit_field(self) -> str:
        def change(fields: dict[str, Any]) -> str:
            entries = [each for each in _entries(fields) if isinstance(each, dict)]
            if not entries:
                fields["assets"] = [{"title": "primary", "notes": self._new()}]
                return "an entry"
            entry = self._dice.choice(entries)
            field = self._dice.choice([*FIELDS, *entry])
            entry[field] = self._value()
            return f"{field} = {entry[field]!r}"

        return self._change(change)

    def _edit_record(self) -> str:
        def change(fields: dict[str, Any]) -> str:
            fields[self._dice.choice(("name", "rating"))] = self._new()
            return "a field beside the entries"

        return self._change(change)

    def _edit_index(self) -> str:
        def change(fields: dict[str, Any]) -> str:
            types = [rule.type for rule in self._world.asset_map.rules]
            held = fields.get(INDEX)
            some = self._dice.sample(types, 2)
            more = [*held, some[0]] if isinstance(held, list) else some[:1]
            fields[INDEX] = self._dice.choice((None, [], some, more, more, ["shonen"], "mine"))
            return f"{INDEX} = {fields[INDEX]!r}"

        return self._change(change)

    def _reorder(self) -> str:
        def change(fields: dict[str, Any]) -> str:
            entries = _entries(fields)
            self._dice.shuffle(entries)
            return "reordered"

        return self._change(change)

    def _double(self) -> str:
        def change(fields: dict[str, Any]) -> str:
            entries = _entries(fields)
            if entries:
                entries.append(json.loads(json.dumps(self._dice.choice(entries))))
            return "an entry doubled"

        return self._change(change)

    def _drop_entry(self) -> str:
        def change(fields: dict[str, Any]) -> str:
            entries = _entries(fields)
            if entries:
                del entries[self._dice.randrange(len(entries))]
            return "an entry dropped"

        return self._change(change)

    def _delete(self) -> str:
        local, store = self._store()
        names = self._ledger.documents(local=local)
        if not names:
            return ""
        name = self._dice.choice(names)
        store.remove(name)
        self._ledger.note_document(name, local=local)
        return f"deleted {name}"

    def _recreate(self) -> str:
        local, store = self._store()
        name = self._dice.choice(self._ids)
        if name in self._ledger.documents(local=local):
            return ""
        entry = {"title": "primary", self._dice.choice(FIELDS): self._value()}
        store.put(name, {"name": self._new(), "assets": [entry]})
        self._ledger.note_document(name, local=local)
        return f"created {name}"

    def _value(self) -> Any:
        """A path of ours in some spelling, a URI, or what is nobody's."""
        if self._dice.random() < 0.5:
            return self._new()
        return self._dice.choice(FORMS)(self._dice.choice(self._keys))

    def _new(self) -> str:
        self._number += 1
        return f"note {self._number}"

    # -- objects --

    def _overwrite(self) -> str:
        proved = self._world.objects.proved[-1:]  # about to be copied
        key = self._dice.choice(proved if proved and self._dice.random() < 0.2 else self._keys)
        known = [file.data for file in self._world.files.files.values() if file.data]
        data = self._dice.choice([*known, *TWINS]) if self._dice.random() < 0.3 else self._bytes()
        type_ = "text/plain" if self._dice.random() < 0.3 else None
        self._world.objects.set(key, data, type_)
        self._world.objects.md5s.pop(key, None)
        self._ledger.note_object(key)
        return f"wrote the object {key}: {data!r}"

    def _remove_object(self) -> str:
        held = sorted(self._ledger.objects)
        if not held:
            return ""
        key = self._dice.choice(held)
        self._world.objects.remove(key)
        self._ledger.note_object(key)
        return f"removed the object {key}"

    def _retype(self) -> str:
        held = sorted(self._ledger.objects)
        if not held:
            return ""
        key = self._dice.choice(held)
        type_ = self._dice.choice(("text/plain", "application/octet-stream", content_type(key)))
        self._world.objects.retype(key, type_)
        self._ledger.note_object(key)
        return f"set the type of the object {key}: {type_}"

    def _bytes(self) -> bytes:
        # Often of the size that everything has at first, so that the size tells nothing.
        return self._dice.choice((b"a", b"b", b"c", TWINS[0], self._new().encode()))

    # -- files --

    def _write_file(self) -> str:
        path, data = self._dice.choice(self._paths), self._bytes()
        self._number += 1
        self._world.file(path, data, at=self._number)
        self._ledger.note_file(path, data)
        return f"wrote the file {path}: {data!r}"

    def _write_in_place(self) -> str:
        """Whoever has the file open sees it change."""
        return self._in_place(lambda data: self._new().encode()[: len(data)].ljust(len(data), b"."))

    def _truncate(self) -> str:
        return self._in_place(lambda data: data[: self._dice.randrange(len(data) + 1)])

    def _in_place(self, change: Callable[[bytes], bytes]) -> str:
        files = self._world.files.files
        if not files:
            return ""
        path = self._dice.choice(sorted(files))
        data = change(files[path].data)
        self._number += 1
        files[path].data, files[path].mtime_ns = data, self._number
        self._ledger.note_file(path, data)
        return f"changed the file {path}: {data!r}"

    def _remove_file(self) -> str:
        files = self._world.files.files
        if not files:
            return ""
        path = self._dice.choice(sorted(files))
        del files[path]
        self._ledger.note_file(path, None)
        return f"removed the file {path}"


def _entries(fields: dict[str, Any]) -> list[Any]:
    """The entries, to be changed; a list of its own where the document has none."""
    entries = fields.get("assets")
    return entries if isinstance(entries, list) else []
