"""A plan as text: the stores, the amounts, what would be done for each character, and the findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from reconcile.core.changes import Change, Replace, SetField, Severity, Upload
from reconcile.core.plan import Plan, Scope, Stores
from reconcile.core.report import remaining
from reconcile.core.status import NO_CHARACTER
from reconcile.views import words
from reconcile.views.assets import height, show_lines
from reconcile.views.changes import Labels, label
from reconcile.views.cost import show_estimate
from reconcile.views.findings import but, found, show_findings
from reconcile.views.terminal import Piece, Terminal
from reconcile.views.work import Work, show_work, work_by, work_of

CHARACTERS = 200
"""The most characters that are listed without ``--full``."""
SCREEN = 40
"""Lines that count as a screenful even on a smaller terminal."""


def at(uri: str, endpoint: str) -> str:
    """Returns a store, with its server if that is not Google's."""
    return f"{uri} at {endpoint}" if endpoint else uri


def show_plan(
    terminal: Terminal, plan: Plan, labels: Labels, following: str = "", *, full: bool = False, verbose: bool = False
) -> None:
    """Writes a plan, and what to type next: the command ``following``, which applies it. With ``full``, each asset and
    every value, however long that gets; otherwise a line for each asset, or, if that is more than a screenful, a line
    for each character. ``verbose`` shows every finding, as ``full`` does."""
    verbose = verbose or full
    show_stores(terminal, plan.stores, plan.scope)
    if plan.objects_as_of is not None:
        terminal.line(("Objects  ", "dim"), f"as of {plan.objects_as_of}, by an inventory report", hang=9)
    begun = terminal.written
    if plan.actions:
        terminal.line()
        _show_types(terminal, plan.actions, labels)
        terminal.line()
        if full or height(plan.actions, labels) <= max(terminal.height, SCREEN):
            show_lines(terminal, plan.actions, labels, full=full)
        else:
            _show_characters(terminal, plan)
    root = f"{plan.stores.bucket}/"
    show_findings(terminal, plan.findings, verbose=verbose, root=root, all_by="--full")
    terminal.line()
    if plan.actions and terminal.written - begun > terminal.height:
        _show_types(terminal, plan.actions, labels)
        terminal.line()
    terminal.prose(totals(plan), style="bold")
    show_estimate(terminal, plan.estimate, verbose=verbose)
    if not plan.complete:
        terminal.prose(INCOMPLETE, style="bold red")
    if following and plan.actions:
        terminal.prose(f"Next: `{following}`")


INCOMPLETE = (
    "This plan is incomplete: a part of a world could not be read (see the findings). "
    "What depends on it is neither planned nor called in step."
)


def show_stores(terminal: Terminal, stores: Stores, scope: Scope) -> None:
    """Writes the three worlds with their endpoints, so that a wrong target is seen first, and the scope."""
    for name, place in stores_of(stores):
        terminal.line((name.ljust(9), "dim"), place, hang=9)
    show_scope(terminal, scope)


def stores_of(stores: Stores) -> list[tuple[str, str]]:
    """Returns the name of each world, and where it is."""
    bucket, records = at(stores.bucket, stores.bucket_endpoint), at(stores.records, stores.records_endpoint)
    return [("Local", stores.local), ("Bucket", bucket), ("Records", records)]


def show_scope(terminal: Terminal, scope: Scope) -> None:
    """Writes the scope, if it is not everything."""
    parts = [f"character {char_id}" for char_id in scope.char_ids]
    parts += [f"type {asset_type}" for asset_type in scope.asset_types]
    parts += scope.paths
    if parts:
        terminal.line(("Scope    ", "dim"), ", ".join(parts), hang=9)


def _show_types(terminal: Terminal, actions: Sequence[Change], labels: Labels) -> None:
    """Writes how much is done for each asset type, in the order of the rules."""
    order = {asset_type: number for number, asset_type in enumerate(labels)}
    works = work_by(actions, lambda change: change.asset_type)
    # Only a new record has no type.
    kinds = sorted(works, key=lambda kind: (kind is None, order.get(kind or "", len(order)), kind or ""))
    rows = [("new records" if kind is None else label(labels, kind), works[kind]) for kind in kinds]
    show_work(terminal, "asset type", rows, work_of(actions))


def _show_characters(terminal: Terminal, plan: Plan) -> None:
    """Writes a row for each character that has changes, or findings that need a person."""
    works = work_by(plan.actions, lambda change: change.char_id)
    needs = Counter(each.char_id for each in remaining(plan.findings, Severity.WARNING))
    listed = sorted(works.keys() | needs.keys(), key=lambda char_id: (char_id is None, char_id or ""))
    shown = listed[:CHARACTERS]
    rows = [(char_id or NO_CHARACTER, works.get(char_id, Work())) for char_id in shown]
    marks: list[Piece] = [(f"{needs[char_id]:,}", "yellow") if needs[char_id] else ("-", "dim") for char_id in shown]
    show_work(terminal, "character", rows, work_of(plan.actions), [*marks, f"{needs.total():,}"] if needs else ())
    if len(shown) < len(listed):
        terminal.line((f"and {words.many(len(listed) - len(shown), 'more character')}", "dim"))
    terminal.line()
    terminal.prose("--full shows each asset, and the values before and after.", style="dim")


def totals(plan: Plan) -> str:
    """Returns one sentence with every count that is not zero."""
    in_step = f"{words.many(plan.summary.in_step, 'asset')} in step"
    if not plan.actions:
        return f"Nothing to do{but(plan.findings)}: {in_step}.{found(plan.findings)}"
    return f"Plan: {', '.join([*_planned(plan), in_step])}.{found(plan.findings)}"


def question(plan: Plan) -> str:
    """Returns the question before the plan is applied: to which bucket, and how much."""
    bucket = at(plan.stores.bucket, plan.stores.bucket_endpoint)
    return f"Apply to {bucket}: {', '.join(work_of(plan.actions).parts())}?"


def _planned(plan: Plan) -> Iterable[str]:
    work = work_of(plan.actions)
    for kind, verb in ((Upload, "upload"), (Replace, "replace")):
        sizes = [change.size for change in plan.actions if isinstance(change, kind)]
        if sizes:
            yield f"{len(sizes):,} to {verb} ({words.size(sum(sizes))})"
    if work.copies:
        yield f"{work.copies:,} to copy in the bucket"
    if work.types:
        yield f"{words.many(work.types, 'content type')} to set"
    if work.records:
        yield f"{words.many(work.records, 'record')} to create"
    if work.fields or work.index:
        places = " and ".join(Work(fields=work.fields, index=work.index).parts())
        documents = {change.document for change in plan.actions if isinstance(change, SetField)}
        yield f"{places} to set in {words.many(len(documents), 'record')}"
    if work.values:
        yield f"{words.many(work.values, 'value')} to rewrite in the local database"
