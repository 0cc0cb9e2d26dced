"""Plan ⇄ plan folder: a head and shards, so that several machines can apply one plan.

    plan.json               the plan without actions and findings, the counts that its limits check, and a list of the
                            files below; written last
    actions-1-0000.jsonl    changes of objects, one per line, in the plan's order; with the files of several machines,
                            actions-1-MACHINE-0000.jsonl
    actions-2-0000.jsonl    changes of records, in the same format
    findings-0000.jsonl     findings, in the same format
    report-*.json           what each run of a shard did

A change's shard is a digest of its key, or of its record, modulo the number of shards: never a range. So shards are of
similar size, and all changes of one record are in the same one. Merged, the shards equal the plan in one file, byte for
byte.
"""

from __future__ import annotations

import datetime
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum

import msgspec

from reconcile.core.changes import Change, Finding, ObjectChange, canonical
from reconcile.core.cost import Used
from reconcile.core.errors import UsageError
from reconcile.core.headed import Head, HeadedFolder
from reconcile.core.plan import FORMAT as PLAN_FORMAT
from reconcile.core.plan import LimitCounts, Plan, Summary
from reconcile.core.ramp import Rates
from reconcile.core.report import Outcome, OutcomeKind, Problem, Report
from reconcile.core.report import build as build_report

FORMAT = "reconcile.plan-dir/1"
HEAD = "plan.json"

_AGAIN = "save the plan again with `reconcile plan --out DIR/ --shards N`, into a new folder"
FOLDER = HeadedFolder(HEAD, "plan", FORMAT, "save one with `reconcile plan --out DIR/ --shards N`", _AGAIN)


class ShardPhase(Enum):
    """The phase in which a change is made: objects first, then the records that name them."""

    UPLOADS = "uploads"
    RECORDS = "records"

    @classmethod
    def of(cls, change: Change) -> ShardPhase:
        """Returns the phase in which this change is made."""
        return cls.UPLOADS if isinstance(change, ObjectChange) else cls.RECORDS


_NUMBERS = {ShardPhase.UPLOADS: 1, ShardPhase.RECORDS: 2}


class Shard(msgspec.Struct, frozen=True):
    """One file of changes: their number, and the file's length in bytes and its SHA-256 in hex.

    If the plan covers the files of several machines, those that this shard uploads are on ``machine``.
    """

    name: str
    phase: ShardPhase
    actions: int
    bytes: int
    sha256: str
    machine: str = ""


class Machine(msgspec.Struct, frozen=True):
    """A machine that has files to upload: its name and its local root."""

    name: str
    root: str


class FindingShard(msgspec.Struct, frozen=True):
    """One file of findings: their number, and the file's length in bytes and its SHA-256 in hex."""

    name: str
    findings: int
    bytes: int
    sha256: str


class PlanDir(Head, frozen=True):
    """The document ``plan.json``.

    It has the plan without its actions and findings, the counts that its limits check, the initial request rates of all
    machines together, and the files with the rest. ``digest`` is the SHA-256 of the document itself with an empty
    ``digest``.
    """

    head: Plan
    limits: LimitCounts
    shards: tuple[Shard, ...]
    findings: tuple[FindingShard, ...]
    machines: tuple[Machine, ...] = ()
    rates: Rates = Rates()
    digest: str = ""

    @property
    def count(self) -> int:
        """The number of shards in each phase."""
        return len(self.findings)

    def of(self, phase: ShardPhase, number: int | None = None, machine: Machine | None = None) -> list[Shard]:
        """Returns the shards of this phase: the one with this number, counted from 0, or all; for uploads, this
        machine's."""
        numbers = range(self.count) if number is None else (number,)
        held = machine.name if machine is not None and phase is ShardPhase.UPLOADS else ""
        names = {_actions_name(phase, each, held) for each in numbers}
        return [each for each in self.shards if each.name in names]

    def part(self, actions: Iterable[Change], machine: Machine | None = None) -> Plan:
        """Returns a plan of only these changes, without findings, for the local root of this machine."""
        stores = self.head.stores
        if machine is not None:
            stores = msgspec.structs.replace(stores, local=machine.root)
        return msgspec.structs.replace(self.head, stores=stores, summary=Summary()).holding(tuple(actions))


def shard_of(name: str, count: int) -> int:
    """Returns the number of the shard, counted from 0, for this key or record."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()) % count


def split(
    plan: Plan, count: int, machines: Sequence[Machine] = (), machine_of: Mapping[str, str] | None = None
) -> tuple[PlanDir, dict[str, bytes]]:
    """Returns the head of a plan with ``count`` shards, and its other files by name.

    With ``machines``, each has that many shards of objects; ``machine_of`` maps the ids of changes to the machine that
    has the file.
    """
    homes, names = machine_of or {}, [each.name for each in machines] or [""]
    actions: dict[str, list[Change]] = defaultdict(list)
    for change in plan.actions:
        phase = ShardPhase.of(change)
        machine = homes.get(change.id, names[0]) if phase is ShardPhase.UPLOADS else ""
        actions[_actions_name(phase, _number(change, count), machine)].append(change)
    findings: dict[int, list[Finding]] = defaultdict(list)
    for finding in plan.findings:
        findings[shard_of(finding.subject, count)].append(finding)
    files: dict[str, bytes] = {}

    def add(name: str, items: Sequence[Change | Finding]) -> tuple[int, int, str]:
        data = files[name] = b"".join(msgspec.json.encode(each, enc_hook=repr) + b"\n" for each in items)
        return len(items), len(data), hashlib.sha256(data).hexdigest()

    slots = _slots(names, count)
    shards = tuple(Shard(name, phase, *add(name, actions[name]), machine) for name, phase, machine in slots)
    told = []
    for number in range(count):
        name = f"findings-{number:04}.jsonl"
        told.append(FindingShard(name, *add(name, findings[number])))
    bare = msgspec.structs.replace(plan, actions=(), findings=())
    head = PlanDir(FORMAT, bare, LimitCounts.of(plan), shards, tuple(told), tuple(machines))
    return msgspec.structs.replace(head, digest=digest(head)), files


def load_head(data: bytes, folder: str) -> PlanDir:
    """Decodes a head. Raises UsageError, naming the folder, if it is torn, edited, or of another format."""
    head = FOLDER.decode(data, PlanDir, folder)
    machines = [each.name for each in head.machines] or [""]
    names = (name for name, _, _ in _slots(machines, head.count))
    # Counted first: a head that somebody made may have the product of many machines and many numbers.
    whole = len(head.shards) == (len(machines) + 1) * head.count
    if head.digest != digest(head) or not whole or [each.name for each in head.shards] != list(names):
        raise UsageError(f"{HEAD} in {folder} was edited, or is torn", hint=_AGAIN)
    return head


def read_actions(head: PlanDir, shard: Shard, data: bytes, folder: str) -> list[Change]:
    """Returns the changes of a shard. Raises UsageError if the file is not the one that the head names."""
    changes = FOLDER.read_lines(shard.name, data, shard.sha256, Change, folder)
    number = int(shard.name.rpartition("-")[2].removesuffix(".jsonl"))
    strays = [each for each in changes if ShardPhase.of(each) is not shard.phase or _number(each, head.count) != number]
    if strays or len(changes) != shard.actions:
        raise UsageError(f"{shard.name} in {folder} does not hold the changes that {HEAD} says", hint=_AGAIN)
    return changes


def read_findings(shard: FindingShard, data: bytes, folder: str) -> list[Finding]:
    """Returns the findings of a shard. Raises UsageError if the file is not the one that the head names."""
    return FOLDER.read_lines(shard.name, data, shard.sha256, Finding, folder)


def merge(folder: PlanDir, actions: Iterable[Change], findings: Iterable[Finding], where: str) -> Plan:
    """Returns the plan that consists of these shards. Raises UsageError if they are not all of it."""
    head = folder.head
    plan = head.made_of(actions, findings)
    plan = msgspec.structs.replace(plan, format=PLAN_FORMAT, estimate=head.estimate)  # with the use of making the plan
    if msgspec.structs.replace(plan, actions=(), findings=()) != head or LimitCounts.of(plan) != folder.limits:
        raise UsageError(f"the shards in {where} are not those of one plan", hint=_AGAIN)
    return plan


def load_report(data: bytes, name: str, folder: str) -> Report:
    """Decodes the report of a run of a shard. Raises UsageError if it is torn or not a report."""
    try:
        report = msgspec.json.decode(data, type=Report)
        _started(report.run_id)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise UsageError(f"{name} in {folder} cannot be read: {error}", hint="move it out of the folder") from error
    return report


def merge_reports(plan: Plan, reports: Iterable[Report]) -> Report:
    """Merges the reports of all runs of a plan's shards into one, with the outcome of each change.

    A change that any run applied is ``applied``, whatever later runs found; otherwise its last outcome counts. A change
    that no run reports is ``not_started``. ``seconds`` are from the first run's start to the last one's end, and
    ``used`` is the total of all runs.
    """
    latest: dict[str, Outcome] = {}
    ordered = sorted(reports, key=lambda each: each.run_id)
    for report in ordered:
        for outcome in report.outcomes:
            known = latest.get(outcome.id)
            if known is None or known.outcome is not OutcomeKind.APPLIED:
                latest[outcome.id] = outcome
    spans = [(_started(each.run_id), each.seconds) for each in ordered]
    seconds = max(start + length for start, length in spans) - min(start for start, _ in spans) if spans else 0.0
    return build_report(
        ordered[-1].run_id if ordered else "",
        (latest.get(change.id) or Outcome.of(change, OutcomeKind.NOT_STARTED, _UNTOLD) for change in plan.actions),
        plan.findings,
        moved=sum(each.bytes for each in ordered),
        seconds=round(seconds, 3),
        complete=plan.complete,
        used=sum((each.used for each in ordered), Used()),
    )


_UNTOLD = Problem(
    "interrupted",
    "no run of its shard has reported it",
    "run `reconcile apply DIR/ --shard I/N` for each",
    transient=True,
)


def _started(run_id: str) -> float:
    """Returns when the run of this id began, in seconds since 1970."""
    moment = datetime.datetime.strptime(run_id.partition("-")[0], "%Y%m%dT%H%M%S%fZ")
    return moment.replace(tzinfo=datetime.UTC).timestamp()


def _number(change: Change, count: int) -> int:
    return shard_of(change.key if isinstance(change, ObjectChange) else change.document, count)


def _slots(machines: Sequence[str], count: int) -> Iterator[tuple[str, ShardPhase, str]]:
    """Yields the name, the phase and the machine of each shard of changes, in order."""
    for phase, machine in (*((ShardPhase.UPLOADS, each) for each in machines), (ShardPhase.RECORDS, "")):
        yield from ((_actions_name(phase, number, machine), phase, machine) for number in range(count))


def _actions_name(phase: ShardPhase, number: int, machine: str = "") -> str:
    return f"actions-{_NUMBERS[phase]}-{f'{machine}-' if machine else ''}{number:04}.jsonl"


def digest(head: PlanDir) -> str:
    """Returns the ``digest`` that this head must have."""
    return hashlib.sha256(canonical(msgspec.structs.replace(head, digest=""))).hexdigest()
