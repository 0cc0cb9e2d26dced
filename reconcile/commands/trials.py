"""Answers that need only the rules, or the rules and the records: the rules as written, the rule for a path, and
how well the rules fit the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from reconcile.adapters.disk_names import as_text
from reconcile.config.naming import possible_paths
from reconcile.config.settings import Settings
from reconcile.core.errors import UsageError
from reconcile.core.events import Listener, Phase, PhaseDone, PhaseStarted, counted, silent
from reconcile.core.pattern import CHAR_ID
from reconcile.core.reach import Selection, is_ours
from reconcile.core.rows import Coverage
from reconcile.core.rules import AssetMap, AssetRule, Reading
from reconcile.core.unread import AgainstRecords, Judge
from reconcile.pipeline.roster import Roster, context_of
from reconcile.project import OpenProject

RULES_FORMAT = "reconcile.rules/1"
TRIALS_FORMAT = "reconcile.rules-test/1"


class RuleView(msgspec.Struct, frozen=True):
    """A rule of the asset map, with its templates as written. ``object`` is None if it is the local path."""

    type: str
    label: str
    path: str
    object: str | None
    field: str | None
    entry: str | None
    many: str

    @classmethod
    def of(cls, rule: AssetRule) -> RuleView:
        return cls(
            type=rule.type,
            label=rule.label,
            path=rule.path.source,
            object=None if rule.object is None else rule.object.source,
            field=rule.field,
            entry=None if rule.entry is None else rule.entry.source,
            many=rule.many.value,
        )


class Loser(msgspec.Struct, frozen=True):
    """Another rule that also matches the path, and why it does not take it."""

    type: str
    path: str
    why: str


class WaiverView(msgspec.Struct, frozen=True):
    """A waiver of the rules file. ``matched`` is the number of findings that it matched when a plan last looked at
    everything; None if that has not happened since the waiver was written."""

    code: str
    subject: str
    reason: str
    until: str | None
    matched: int | None


class RulesDocument(msgspec.Struct, frozen=True):
    """The document of ``rules check --json``: a valid rules file, and whether its local root exists. ``records`` says
    how the rules fit the records, if that was requested."""

    format: str
    path: str
    digest: str
    root: str
    rules: tuple[RuleView, ...]
    root_is_there: bool = True
    waivers: tuple[WaiverView, ...] = ()
    records: AgainstRecords | None = None


class Trial(msgspec.Struct, frozen=True):
    """The reading of one path by the rules alone. ``char_id`` is a guess, because only the stores know which ids exist.

    ``left_out`` says why a file at this path is never looked at, even if a rule matches, if that is so.
    """

    subject: str
    path: str
    rule: RuleView | None
    captures: dict[str, str]
    char_id: str | None
    losers: tuple[Loser, ...]
    left_out: str | None = None


class Trials(msgspec.Struct, frozen=True):
    """The document of ``rules test --json``."""

    format: str
    results: tuple[Trial, ...]


def describe_rules(settings: Settings, waivers_used: Mapping[str, int] | None = None) -> RulesDocument:
    """Describes the rules file. ``waivers_used`` is the number of findings that each waiver matched, by its name."""
    used = waivers_used or {}
    waivers = tuple(
        WaiverView(
            each.code.value,
            each.subject,
            each.reason,
            None if each.until is None else each.until.isoformat(),
            used.get(each.name),
        )
        for each in settings.waivers
    )
    rules = tuple(RuleView.of(rule) for rule in settings.asset_map.rules)
    root, there = as_text(str(settings.root)), settings.root.is_dir()
    return RulesDocument(
        RULES_FORMAT, as_text(str(settings.rules_path)), settings.rules_digest, root, rules, there, waivers
    )


def against_records(project: OpenProject, listener: Listener = silent) -> AgainstRecords:
    """Returns how the rules read the texts of all records. Looks at neither files nor the bucket. Raises StoreError if
    the records cannot be read."""
    context = context_of(project, Roster((), (), frozenset(), Coverage()))
    judge = Judge(context, project.settings.named_roots, partial(why_left_out, project))
    listener(PhaseStarted(Phase.RECORDS))
    found = judge.against(counted(project.records.read(), Phase.RECORDS, listener))
    listener(PhaseDone(Phase.RECORDS))
    return found


def try_paths(project: OpenProject, subjects: Sequence[str]) -> Trials:
    """Returns which rule matches each path. Reads no store, and the files need not exist."""
    return Trials(TRIALS_FORMAT, tuple(_trial(project, subject) for subject in subjects))


def _trial(project: OpenProject, subject: str) -> Trial:
    paths = possible_paths(project.settings, subject)
    if not paths:
        root = project.settings.root
        raise UsageError(
            f"{subject!r} is not below the local root {root}", hint="name a path below it, or relative to it"
        )
    path = next((each for each in paths if project.asset_map.read(each, ()) is not None), paths[0])
    left_out = why_left_out(project, path)
    reading = None if left_out else project.asset_map.read(path, ())
    captures = {} if reading is None else dict(reading.captures)
    rule = None if reading is None else RuleView.of(reading.rule)
    return Trial(
        subject,
        path,
        rule,
        captures,
        captures.get(CHAR_ID),
        losers(project.asset_map, path, reading),
        left_out,
    )


def why_left_out(project: OpenProject, path: str) -> str | None:
    """Returns why a file at this path below the root is never looked at, or None if it is."""
    if Selection(project.settings.ignore).ignores(path):
        return "an `ignore` pattern takes it"
    if any(map(is_ours, path.split("/"))):
        return "it is reconcile's own"
    return project.asset_map.left_out(path)


def losers(asset_map: AssetMap, path: str, reading: Reading | None) -> tuple[Loser, ...]:
    """Returns the other rules that match, in the order of the map."""
    if reading is None:
        return ()
    found: list[Loser] = []
    why = "finds no known character in the path, which the chosen rule does"
    for rule in asset_map.rules:
        if rule is reading.rule:
            why = "comes later in the rules"
        elif rule.guess(path) is not None:
            found.append(Loser(rule.type, rule.path.source, why))
    return tuple(found)
