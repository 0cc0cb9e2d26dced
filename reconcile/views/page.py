"""One page of how everything stands: HTML that needs nothing else, or Markdown for a pull request or a chat.

What comes from elsewhere (names, records, rules) is escaped wherever a template writes it, not where one remembers to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, TypeAlias, assert_never

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reconcile.commands.overview import Cell, Overview
from reconcile.commands.status import NO_CHARACTER
from reconcile.core.changes import Change, CreateRecord, Finding, Replace, RewriteLocalDb, SetField, Upload
from reconcile.core.findings import FINDINGS
from reconcile.core.plan import Plan
from reconcile.core.status import StatusRow, Sync
from reconcile.views import words
from reconcile.views.markdown import inert, sentence
from reconcile.views.plan import INCOMPLETE, SEVERITIES, Labels, at, label, texts, totals
from reconcile.views.terminal import visible

ON_A_PAGE = 2000
"""Changes, and findings of a kind, that a page shows: a browser bears no more, and nobody reads them."""
IN_A_COMMENT = 20
"""The same for Markdown, and for characters; a comment on a forge holds 65,536 characters."""
OPEN = 60
"""A plan of more changes than this is folded, a character each."""

Values: TypeAlias = dict[str, Any]
Pairs: TypeAlias = tuple[tuple[str, str], ...]


class Mark(msgspec.Struct, frozen=True):
    """A cell of the grid: how it looks (``style``), what it shows, and the same in words."""

    style: str
    text: str
    words: str


class GridRow(msgspec.Struct, frozen=True):
    """A character of the grid; ``open`` if something is not in step."""

    name: str
    open: bool
    marks: tuple[Mark, ...]


class Step(msgspec.Struct, frozen=True):
    """A change: what it does, to what and why; ``values`` are (was or now, text)."""

    style: str
    sign: str
    kind: str
    label: str
    where: str
    size: str
    reason: str
    values: Pairs


class Steps(msgspec.Struct, frozen=True):
    """The changes of one character."""

    name: str
    count: int
    steps: tuple[Step, ...]


class FindingGroup(msgspec.Struct, frozen=True):
    """The findings of one code; ``common`` is what is said of all of them alike."""

    severity: str
    code: str
    count: int
    meaning: str
    common: str
    hints: tuple[str, ...]
    findings: Pairs


_NOTHING = Mark("none", "·", "none")
_STYLES: dict[type, str] = {
    Upload: "new",
    Replace: "replace",
    CreateRecord: "new",
    SetField: "set",
    RewriteLocalDb: "set",
}


def html(seen: Overview, plan: Plan, labels: Labels) -> str:
    """The whole page."""
    return _rendered("page.html.j2", _values(seen, plan, labels, ON_A_PAGE, ON_A_PAGE), escaping=True)


def markdown(seen: Overview, plan: Plan, labels: Labels) -> str:
    """The page as Markdown, short enough for a comment: characters in step are counted, not listed."""
    return _rendered("page.md.j2", _values(seen, plan, labels, IN_A_COMMENT, IN_A_COMMENT), escaping=False)


def _rendered(template: str, values: Values, *, escaping: bool) -> str:
    environment = Environment(
        loader=PackageLoader("reconcile.views"),
        autoescape=escaping,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_writer(visible if escaping else inert),
    )
    environment.filters["number"] = "{:,}".format
    environment.filters["own"] = Markup
    environment.filters["sentence"] = lambda text: Markup(sentence(text))
    return environment.get_template(template).render(values)


def _writer(made_inert: Callable[[str], str]) -> Callable[[Any], Any]:
    """What every expression of a template goes through. Only what a template itself calls its own is left as it is."""
    return lambda value: value if isinstance(value, Markup) else made_inert(str(value))


def _values(seen: Overview, plan: Plan, labels: Labels, changes: int, findings: int) -> Values:
    columns = _columns(seen)
    lines = sorted(_lines(seen, columns), key=lambda line: not line.open)
    return {
        "title": plan.stores.bucket,
        "created": plan.created,
        "tool": plan.tool,
        "verdict": totals(plan),
        "calm": plan.complete and not plan.actions and not plan.summary.findings.error,
        "incomplete": "" if plan.complete else INCOMPLETE,
        "stores": _stores(plan),
        "rows": seen.rows,
        "shares": [_share(row) for row in seen.rows],
        "columns": [row.label for row in columns],
        "lines": lines,
        "known": sum(row.char_id is not None for row in seen.characters),
        "quiet": sum(not _is_open(row) for row in seen.characters if row.char_id is not None),
        "steps": _steps(plan.actions[:changes], labels),
        "actions": len(plan.actions),
        "more": max(0, len(plan.actions) - changes),
        "open": len(plan.actions) <= OPEN,
        "kinds": [_kind(list(group), findings) for _, group in groupby(plan.findings, key=lambda each: each.code)],
        "shown": findings,
    }


def _stores(plan: Plan) -> list[tuple[str, str]]:
    stores = plan.stores
    named = [
        ("Local", stores.local),
        ("Bucket", at(stores.bucket, stores.bucket_endpoint)),
        ("Records", at(stores.records, stores.records_endpoint)),
    ]
    named += [("Only the character", char_id) for char_id in plan.scope.char_ids]
    return named + [("Only the type", asset_type) for asset_type in plan.scope.asset_types]


def _share(row: StatusRow) -> int:
    """How much of a row is right, in percent, for the bar; never all of it if something is not."""
    whole = max(row.local, row.bucket, row.in_step)
    if row.sync is Sync.COMPLETE or not whole:
        return 100 if row.sync is Sync.COMPLETE else 0
    return min(99, 100 * row.in_step // whole)


# -- the grid --


def _columns(seen: Overview) -> list[StatusRow]:
    """A column for each rule; one for what no rule takes only if there is something."""
    used = {cell.asset_type for cell in seen.cells}
    return [row for row in seen.rows if row.asset_type is not None or None in used]


def _lines(seen: Overview, columns: Sequence[StatusRow]) -> Iterator[GridRow]:
    cells = {(cell.char_id, cell.asset_type): cell for cell in seen.cells}
    for row in seen.characters:
        marks = tuple(_mark(cells.get((row.char_id, column.asset_type))) for column in columns)
        if row.char_id is not None or any(mark is not _NOTHING for mark in marks):
            name = NO_CHARACTER if row.char_id is None else row.char_id
            yield GridRow(name, _is_open(row), marks)


def _is_open(row: StatusRow) -> bool:
    return row.sync in (Sync.PARTIAL, Sync.MISSING)


def _mark(cell: Cell | None) -> Mark:
    if cell is None:
        return _NOTHING
    where = f"{cell.local:,} local, {cell.bucket:,} in the bucket, {cell.records:,} in records"
    if cell.wanted == 0:
        return Mark("none", "·", f"nothing that is wanted: {where}")
    said = f"{cell.in_step:,} of {cell.wanted:,} in step"
    if cell.in_step == cell.wanted:
        return Mark("good", f"✓ {cell.wanted:,}", f"{said}: {where}")
    text = f"{cell.in_step:,}/{cell.wanted:,}"
    if cell.to_do:
        return Mark("todo", f"▲ {text}", f"{said}, {cell.to_do:,} to do: {where}")
    return Mark("look", f"! {text}", f"{said}, see the findings: {where}")


# -- the plan --


def _steps(actions: Iterable[Change], labels: Labels) -> list[Steps]:
    """By character, nobody's last; within one in the order of execution."""
    ordered = sorted(actions, key=lambda change: (change.char_id is None, change.char_id or ""))
    made = []
    for char_id, group in groupby(ordered, key=lambda change: change.char_id):
        listed = tuple(_step(change, labels) for change in group)
        made.append(Steps(NO_CHARACTER if char_id is None else char_id, len(listed), listed))
    return made


def _step(change: Change, labels: Labels) -> Step:
    kind, where, size, values = _told(change)
    return Step(
        style=_STYLES[type(change)],
        sign=words.sign(change),
        kind=kind,
        label="" if isinstance(change, CreateRecord) else label(labels, change.asset_type),
        where=where,
        size=size,
        reason=words.REASONS[change.reason],
        values=values,
    )


def _told(change: Change) -> tuple[str, str, str, Pairs]:
    """What a change does, to what, how large, and the values."""
    match change:
        case Upload():
            return "Upload", change.key, words.size(change.size), ()
        case Replace():
            sizes = f"{words.size(change.old_size)} becomes {words.size(change.size)}"
            return "Replace", change.key, sizes, ()
        case CreateRecord():
            made = tuple((name, _text(value)) for name, value in change.fields.items())
            return "Create record", change.document, "", made
        case SetField() | RewriteLocalDb():
            where = f"{change.document} {words.place(change.entry, change.field, change.position, change.way)}"
            kind = "Set field" if isinstance(change, SetField) else "Rewrite in the local database"
            pairs = (("was", change.old), ("now", change.new))
            return kind, where, "", tuple((name, text) for name, value in pairs for text in texts(value))
        case _:
            assert_never(change)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()


# -- the findings --


def _kind(found: Sequence[Finding], shown: int) -> FindingGroup:
    first = found[0]
    alike = len(found) > 1 and len({finding.message for finding in found}) == 1
    return FindingGroup(
        severity=SEVERITIES[first.severity][0],
        code=first.code.value,
        count=len(found),
        meaning=FINDINGS[first.code].title,
        common=first.message if alike else "",
        hints=tuple(dict.fromkeys(finding.hint for finding in found if finding.hint)),
        findings=tuple((each.subject, "" if alike else each.message) for each in found[:shown]),
    )
