"""A project whose three worlds are in memory: the embedded stores, and files that keep the rules of a real folder.

Every write is counted, any write can be made to fail, and somebody else's hand can move the worlds in between.
"""

from __future__ import annotations

import tempfile
from bisect import insort
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from reconcile.config.settings import LocalDbSettings, Policy, Settings, load, template
from reconcile.core.changes import Change, SetField
from reconcile.core.notes import Note
from reconcile.core.pattern import Template
from reconcile.core.plan import Plan, Scope
from reconcile.core.report import OutcomeKind, Report
from reconcile.core.rows import FileProblem
from reconcile.core.rules import AssetMap, AssetRule, Many
from reconcile.core.way import Entries
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import survey
from reconcile.pipeline.survey import Survey
from reconcile.project import OpenProject
from reconcile.run_options import RunOptions
from tests.kit.fakes import FakeFile, Files, Journals, LocalDb, Memory, Objects, Records

WINDOWS_ROOT = "C:\\oo\\bar\\output"
PRIMARY = "primary"


def windows(key: str) -> str:
    """How an old record spells the local path of a key."""
    return f"{WINDOWS_ROOT}\\{key}".replace("/", "\\")


def titled(title: str | None = PRIMARY, **fields: Any) -> dict[str, Any]:
    """One map of a record's ``assets``."""
    return fields if title is None else {"title": title, **fields}


def rule(
    type_: str,
    path: str,
    field: str | None = None,
    *,
    entry: str = PRIMARY,
    many: str = "report",
    object_: str | None = None,
) -> AssetRule:
    """An ``[[asset]]``."""
    return AssetRule(
        type=type_,
        label=type_,
        path=Template(path),
        object=None if object_ is None else Template(object_),
        field=field,
        entry=Template(entry) if field else None,
        many=Many(many),
    )


@lru_cache
def users_settings() -> Settings:
    """The settings that ``init`` writes: the users' own ten asset types."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules" / "asset_map.toml"
        path.parent.mkdir()
        path.write_text(template(), encoding="utf-8")
        return load(Path(folder), environ={})


class World(OpenProject):
    """A project on worlds in memory. ``rules`` None is the users' own map; ``local_db`` gives it a local database.
    Records have no ``index``, unless one is named: most decisions are not about it."""

    def __init__(
        self,
        rules: Sequence[AssetRule] | None = None,
        *,
        local_db: bool = False,
        rewrite: bool = False,
        policy: Policy | None = None,
        entries: tuple[str, ...] = ("assets",),
        index: str = "",
    ) -> None:
        base = users_settings()
        super().__init__(
            msgspec.structs.replace(
                base,
                asset_map=base.asset_map if rules is None else AssetMap(tuple(rules)),
                local_db=LocalDbSettings(Path("characters.json"), rewrite) if local_db or rewrite else None,
                policy=policy or base.policy,
                entries=Entries(entries, "title"),
                index=index,
            ),
            RunOptions(),
        )
        self.files = Files()
        self.objects = Objects(self.settings.bucket.prefix)
        self.records = Records(self.settings.records.collection)
        self.remembered_documents = None
        self.local_db = LocalDb("db") if local_db or rewrite else None
        self.memory = Memory()
        self.journal = Journals()
        for store in (self.objects, self.records, self.local_db):
            if store is not None:
                self._open.callback(store.close)

    @property
    def agreed(self) -> Memory:
        return self.memory

    # -- furnishing --

    def file(self, path: str, data: bytes | None = None, *, at: int = 1, problem: FileProblem | None = None) -> str:
        """A local file (its own path as bytes, unless told), modified at ``at``; gives its key's URI."""
        self.files.files[path] = FakeFile(path.encode() if data is None else data, at, problem)
        return self.uri(path)

    def object(self, key: str, data: bytes | None = None, type_: str | None = None) -> str:
        """An object (its own key as bytes and of its own type, unless told); gives its URI."""
        self.objects.set(key, key.encode() if data is None else data, type_)
        return self.uri(key)

    def both(self, key: str, data: bytes | None = None) -> str:
        """The same bytes in the folder and in the bucket."""
        self.file(key, data)
        return self.object(key, data)

    def record(self, char_id: str, *entries: Any, **fields: Any) -> None:
        """A document with these maps in ``assets``."""
        self.records.put(char_id, {"name": char_id.title(), "assets": list(entries), **fields})

    def local(self, char_id: str, *entries: Any, **fields: Any) -> None:
        """A document of the pipeline's own database."""
        assert self.local_db is not None
        self.local_db.put(char_id, {"name": char_id.title(), "assets": list(entries), **fields})

    def note(self, *notes: Note) -> None:
        """What the outbox holds."""
        self.noted = notes
        self._know(notes)

    # -- asking --

    def uri(self, key: str) -> str:
        """The URI of a key."""
        return self.settings.bucket.uri(key)

    def survey(self, *char_ids: str, types: Sequence[str] = ()) -> Survey:
        """A planning."""
        return survey(self, Scope(char_ids, tuple(types)))

    def plan(self, *char_ids: str, types: Sequence[str] = ()) -> Plan:
        """A plan."""
        return self.survey(*char_ids, types=types).plan

    def apply(self, plan: Plan | None = None, **options: Any) -> Report:
        """Applies a plan, or makes one first."""
        return execute(self, plan or self.plan(), **options)

    def entries(self, char_id: str) -> Any:
        """The ``assets`` of a record as they are now."""
        fields = self.records.fields(char_id)
        return None if fields is None else fields.get("assets")

    def writes(self) -> list[str]:
        """Every write so far, in any world."""
        local = self.local_db.writes if self.local_db is not None else []
        return [*self.objects.writes, *self.records.writes, *local]

    def snapshot(self) -> tuple[Any, ...]:
        """Everything in the three worlds, with generations and update times."""
        local = self.local_db.all() if self.local_db is not None else {}
        return self.objects.all(), self.records.all(), local, dict(self.files.files)


def sets(plan: Plan) -> dict[tuple[str, str | None, str], Any]:
    """What the plan sets, by (character, entry, field)."""
    changes = (action for action in plan.actions if isinstance(action, SetField))
    return {(change.document.rpartition("/")[2], change.entry, change.field): change.new for change in changes}


def kinds(plan: Plan) -> list[str]:
    """The kinds of the plan's actions, in order."""
    return [str(type(action).__struct_config__.tag) for action in plan.actions]


def keys(plan: Plan, kind: type[Change]) -> list[str | None]:
    """The keys of the actions of one kind, in order."""
    return [action.key for action in plan.actions if isinstance(action, kind)]


def codes(plan: Plan) -> list[str]:
    """The finding codes, sorted."""
    out: list[str] = []
    for finding in plan.findings:
        insort(out, finding.code.value)
    return out


def outcomes(report: Report) -> dict[str | None, OutcomeKind]:
    """What happened, by key."""
    return {outcome.key: outcome.outcome for outcome in report.outcomes}
