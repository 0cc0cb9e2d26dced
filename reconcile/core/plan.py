"""The plan: the changes that would be made, in order, with summary, fingerprint and safety limits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any, get_args

import msgspec

from reconcile.core.changes import (
    Change,
    Code,
    CreateRecord,
    Finding,
    ObjectChange,
    Replace,
    Upload,
    canonical,
    kind_of,
)
from reconcile.core.cost import Estimate, of_changes
from reconcile.core.errors import Refused
from reconcile.core.names import nfc

FORMAT = "reconcile.plan/1"
SMALL_SCOPE = 10
_KIND_ORDER = {kind: rank for rank, kind in enumerate(get_args(Change))}


class Scope(msgspec.Struct, frozen=True):
    """What a run may change; an empty tuple means everything.

    ``paths`` are local paths or keys of single assets, in composed Unicode form.
    """

    char_ids: tuple[str, ...] = ()
    asset_types: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def takes_character(self, char_id: str | None) -> bool:
        """Whether assets of this character (None: of nobody) are in scope."""
        return not self.char_ids or char_id in self.char_ids

    def takes_type(self, asset_type: str | None) -> bool:
        """Whether assets of this type (None: of no rule) are in scope."""
        return not self.asset_types or asset_type in self.asset_types

    def takes_name(self, *names: str | None) -> bool:
        """Whether the asset with these names (its key, its local path) is in scope."""
        return not self.paths or any(nfc(name) in self.paths for name in names if name is not None)


class Stores(msgspec.Struct, frozen=True):
    """The three stores that a plan is about. An empty endpoint is Google's own."""

    local: str
    bucket: str
    records: str
    bucket_endpoint: str = ""
    records_endpoint: str = ""


class Origin(msgspec.Struct, frozen=True):
    """The program version, the rules and the stores that a plan is made with: the same for all plans of one project."""

    tool: str
    rules_digest: str
    stores: Stores


class FindingCounts(msgspec.Struct, frozen=True):
    """Findings by severity; waived findings are counted separately."""

    error: int = 0
    warning: int = 0
    info: int = 0
    waived: int = 0


class Summary(msgspec.Struct, frozen=True):
    """Counts of changes by kind, of keys in step, and the bytes to upload."""

    upload: int = 0
    replace: int = 0
    copy: int = 0
    set_metadata: int = 0
    set_field: int = 0
    create_record: int = 0
    rewrite_local_db: int = 0
    in_step: int = 0
    bytes: int = 0
    findings: FindingCounts = FindingCounts()


class Plan(msgspec.Struct, frozen=True):
    """What would be done, as a value that views show and the executor applies.

    Percentage limits refer to ``objects_in_scope``. ``complete`` is false if a part of a store could not be read.
    ``estimate`` is null in plans of older versions. ``objects_as_of`` is the time (RFC 3339) of the inventory report
    that lists the bucket; null if the bucket itself was listed. ``records_as_of`` is the single time as of which all
    records were read; null if there is none.
    """

    format: str
    tool: str
    created: str
    fingerprint: str
    complete: bool
    rules_digest: str
    scope: Scope
    stores: Stores
    summary: Summary
    actions: tuple[Change, ...]
    findings: tuple[Finding, ...]
    objects_in_scope: int = 0
    estimate: Estimate | None = None
    objects_as_of: str | None = None
    records_as_of: str | None = None

    @property
    def seen(self) -> str:
        """The time (RFC 3339) since when changes to the stores may be unknown to the plan."""
        return min(self.created, self.objects_as_of or self.created)

    def keeping(self, changes: Iterable[Change]) -> Plan:
        """Returns the plan with only these of its changes."""
        kept = {change.id for change in changes}
        return self.holding(tuple(change for change in self.actions if change.id in kept))

    def made_of(self, changes: Iterable[Change], findings: Iterable[Finding]) -> Plan:
        """Returns the plan with these changes and findings instead, in order; equal stores yield equal plans."""
        listed = tuple(sorted(set(findings), key=_finding_order))
        return msgspec.structs.replace(self, findings=listed).holding(tuple(sorted(changes, key=_action_order)))

    def holding(self, actions: tuple[Change, ...]) -> Plan:
        """Returns the plan with these changes instead of its own, recounted and with a new fingerprint; the rest is
        copied."""
        plan = msgspec.structs.replace(self, actions=actions)
        counted = {"summary": _summary(plan), "fingerprint": fingerprint(plan), "estimate": estimate_of(plan)}
        return msgspec.structs.replace(plan, **counted)


def build(
    changes: Iterable[Change],
    findings: Iterable[Finding],
    origin: Origin,
    *,
    created: str,
    scope: Scope,
    complete: bool = True,
    in_step: int = 0,
    objects_in_scope: int = 0,
    objects_as_of: str | None = None,
    records_as_of: str | None = None,
) -> Plan:
    """Orders changes and findings, counts them and computes the fingerprint."""
    empty = Plan(
        format=FORMAT,
        tool=origin.tool,
        created=created,
        fingerprint="",
        complete=complete,
        rules_digest=origin.rules_digest,
        scope=scope,
        stores=origin.stores,
        summary=Summary(in_step=in_step),
        actions=(),
        findings=(),
        objects_in_scope=objects_in_scope,
        objects_as_of=objects_as_of,
        records_as_of=records_as_of,
    )
    return empty.made_of(changes, findings)


def estimate_of(plan: Plan) -> Estimate:
    """Returns the estimate of its changes. The caller adds the use of making the plan, and the total duration."""
    endpoints = (plan.stores.bucket_endpoint, plan.stores.records_endpoint)
    bucket, records = (not each.startswith("file:") for each in endpoints)
    return Estimate(applying=of_changes(plan.actions, bucket=bucket, records=records))


def _summary(plan: Plan) -> Summary:
    """Counts changes by kind and findings by severity."""
    kinds = Counter(map(kind_of, plan.actions))
    severities = Counter("waived" if finding.is_waived else finding.severity.value for finding in plan.findings)
    moved = sum(action.size for action in plan.actions if isinstance(action, Upload | Replace))
    return Summary(**kinds, in_step=plan.summary.in_step, bytes=moved, findings=FindingCounts(**severities))


def fingerprint(plan: Plan) -> str:
    """Returns a plan's identity: its changes with their preconditions, its rules and stores, and the count of
    objects."""
    identity = [plan.actions, plan.rules_digest, plan.stores, plan.objects_in_scope]
    return hashlib.sha256(canonical(identity)).hexdigest()


class ReplaceLimit(msgspec.Struct, frozen=True):
    """The maximum replacements in a plan: a count, or a percentage of the objects in scope."""

    amount: float
    percent: bool

    @classmethod
    def parse(cls, text: str) -> ReplaceLimit:
        """Parses ``"10%"`` or ``"25"``. Raises ValueError."""
        number = text.strip()
        percent = number.endswith("%")
        try:
            amount = float(number.removesuffix("%")) if percent else float(int(number))
        except OverflowError as error:
            raise ValueError(text) from error
        if not 0 <= amount < float("inf") or (percent and amount > 100):
            raise ValueError(text)
        return cls(amount, percent)

    def __str__(self) -> str:
        return f"{self.amount:g}%" if self.percent else f"{self.amount:g}"

    def allows(self, replaced: int, objects: int) -> bool:
        """Whether ``replaced`` of ``objects`` may be replaced. Below 10 objects in scope there is no limit."""
        if objects < SMALL_SCOPE:
            return True
        return replaced <= (self.amount * objects / 100 if self.percent else self.amount)


class LimitCounts(msgspec.Struct, frozen=True):
    """The numbers that the safety limits check: a plan's actions, how many of them replace, and the objects in its
    scope."""

    actions: int
    replaced: int
    objects: int

    @classmethod
    def of(cls, plan: Plan) -> LimitCounts:
        """Returns the counts of a plan. Objects are at least as many as replacements, because a plan file may say
        anything."""
        replaced = sum(isinstance(action, Replace) for action in plan.actions)
        return cls(len(plan.actions), replaced, max(plan.objects_in_scope, replaced))


def check_limits(counts: LimitCounts, max_replace: ReplaceLimit, max_actions: int | None) -> None:
    """Raises Refused, with the numbers, if a plan exceeds a safety limit."""
    if not max_replace.allows(counts.replaced, counts.objects):
        raise Refused(
            f"the plan replaces {counts.replaced} of {counts.objects} objects in scope, "
            f"more than max_replace = {max_replace} allows; nothing was changed",
            hint="look at them with `reconcile plan`; if they are meant, run apply again with --force",
        )
    if max_actions is not None and counts.actions > max_actions:
        raise Refused(
            f"the plan has {counts.actions} actions, more than --max-actions {max_actions}; nothing was changed",
            hint="raise --max-actions, narrow the scope with --char-id or --asset-type, or add --force",
        )


def _action_order(change: Change) -> tuple[Any, ...]:
    kind = _KIND_ORDER[type(change)]
    if isinstance(change, ObjectChange):
        return (kind, change.key)
    if isinstance(change, CreateRecord):
        return (kind, change.document)
    position = -1 if change.position is None else change.position
    return (kind, change.document, change.is_index, position, change.entry or "", change.field, change.id)


def _finding_order(finding: Finding) -> tuple[Any, ...]:
    ranks = (finding.severity.rank, _CODE_ORDER[finding.code])
    return (*ranks, finding.subject, finding.message, finding.char_id or "", finding.hint)


_CODE_ORDER = {code: rank for rank, code in enumerate(Code)}
