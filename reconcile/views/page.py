"""One page of how everything stands: HTML that needs nothing else, or Markdown for a pull request or a chat.

What comes from elsewhere (names, records, rules) is escaped wherever a template writes it, not where one remembers to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reconcile.commands.status import NO_CHARACTER, Cell, Overview
from reconcile.core.changes import Change, Copy, CreateRecord, Replace, RewriteLocalDb, SetField, SetMetadata, Upload
from reconcile.core.plan import Plan
from reconcile.core.status import StatusRow, Sync
from reconcile.views import words
from reconcile.views.markdown import inert, sentence
from reconcile.views.plan import (
    INCOMPLETE,
    Labels,
    Pairs,
    at,
    by_character,
    by_code,
    details,
    label,
    totals,
)
from reconcile.views.terminal import visible

ON_A_PAGE = 2000
"""Changes, and findings of a kind, that a page shows: more would make a browser slow, and go unread."""
IN_A_COMMENT = 20
"""The same for Markdown, and for characters; a comment on a forge holds 65,536 characters."""
OPEN = 60
"""A plan of more changes than this is folded, a character each."""

Values: TypeAlias = dict[str, Any]


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


_NOTHING = Mark("none", "·", "none")
_KINDS: dict[type, tuple[str, str]] = {
    Upload: ("new", "Upload"),
    Replace: ("replace", "Replace"),
    Copy: ("new", "Copy"),
    SetMetadata: ("set", "Set content type"),
    CreateRecord: ("new", "Create record"),
    SetField: ("set", "Set field"),
    RewriteLocalDb: ("set", "Rewrite in the local database"),
}


def html(seen: Overview, plan: Plan, labels: Labels) -> str:
    """The whole page."""
    return _rendered("page.html.j2", _values(seen, plan, labels, ON_A_PAGE), escaping=True)


def markdown(seen: Overview, plan: Plan, labels: Labels) -> str:
    """The page as Markdown, short enough for a comment: characters in step are counted, not listed."""
    return _rendered("page.md.j2", _values(seen, plan, labels, IN_A_COMMENT), escaping=False)


def _rendered(template: str, values: Values, *, escaping: bool) -> str:
    made_inert = visible if escaping else inert
    environment = Environment(
        loader=PackageLoader("reconcile.views"),
        autoescape=escaping,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # Only what a template itself calls its own is left as it is.
        finalize=lambda value: value if isinstance(value, Markup) else made_inert(str(value)),
    )
    environment.filters["number"] = "{:,}".format
    environment.filters["own"] = Markup
    environment.filters["sentence"] = lambda text: Markup(sentence(text))
    return environment.get_template(template).render(values)


def _values(seen: Overview, plan: Plan, labels: Labels, shown: int) -> Values:
    columns = _columns(seen)
    actions = plan.actions[:shown]
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
        "steps": [(name, [_step(each, labels) for each in changes]) for name, changes in by_character(actions)],
        "actions": len(plan.actions),
        "more": len(plan.actions) - len(actions),
        "open": len(plan.actions) <= OPEN,
        "kinds": list(by_code(plan.findings, shown)),
        "waived": [each for each in plan.findings if each.is_waived],
        "shown": shown,
    }


def _stores(plan: Plan) -> list[tuple[str, str]]:
    stores = plan.stores
    named = [
        ("Local", stores.local),
        ("Bucket", at(stores.bucket, stores.bucket_endpoint)),
        ("Records", at(stores.records, stores.records_endpoint)),
    ]
    named += [("Only the character", char_id) for char_id in plan.scope.char_ids]
    named += [("Only the type", asset_type) for asset_type in plan.scope.asset_types]
    return named + [("Only the asset", path) for path in plan.scope.paths]


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


def _step(change: Change, labels: Labels) -> Step:
    style, kind = _KINDS[type(change)]
    where, size, values = details(change)
    return Step(
        style=style,
        sign=words.SIGNS[type(change)],
        kind=kind,
        label="" if isinstance(change, CreateRecord) else label(labels, change.asset_type),
        where=where,
        size=size,
        reason=words.REASONS[change.reason],
        values=values,
    )
