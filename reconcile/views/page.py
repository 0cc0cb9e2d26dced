"""The report page: self-contained HTML, or Markdown for a pull request or a chat.

What comes from elsewhere (names, records, rules) is escaped automatically wherever a template writes it. The HTML page
holds its data once, as JSON (``page_data``), which a script in the page draws (``templates/page.js``). The status table
and what needs a person are also in the page itself, for readers without scripts.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any, TypeAlias

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reconcile.commands.report import CharacterState, Details, standings
from reconcile.commands.status import Cell, Overview
from reconcile.core.changes import Change, Severity
from reconcile.core.plan import Plan
from reconcile.core.status import NO_CHARACTER, StatusRow, Sync
from reconcile.views import words
from reconcile.views.changes import Labels, details, label
from reconcile.views.findings import SEVERITIES, by_code
from reconcile.views.markdown import inert, sentence
from reconcile.views.page_data import CHARACTERS, PageData, hints_of, mark_of, room_for
from reconcile.views.plan import INCOMPLETE, stores_of, totals
from reconcile.views.status import is_outside, sums
from reconcile.views.terminal import visible

IN_A_COMMENT = (20, 10, 5, 2, 1)
"""How many findings of a kind, and how many characters, Markdown names: the largest number that fits into a comment."""
COMMENT = 60_000
"""Bytes. A comment on a forge holds 65,536 characters."""
WITHOUT_SCRIPT = 100
"""The most characters, and findings of a kind, that are in the page itself."""

Values: TypeAlias = dict[str, Any]
_SYMBOLS = {"good": "✓", "todo": "▲", "look": "!"}


def html(seen: Overview, plan: Plan, labels: Labels, more: Details | None = None) -> str:
    """Returns the whole page. Its content security policy admits only its own style and script, by their hashes."""
    style, script = _own("page.css"), _own("page.js")
    characters = standings(seen, plan)
    values = _values(seen, plan, labels, characters, WITHOUT_SCRIPT)
    values |= {
        "style": Markup(style),
        "script": Markup(script),
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "data": Markup(PageData(seen, plan, labels, more or Details(), characters).text()),
        "cuts": list(_cuts(plan, characters)),
    }
    return _rendered("page.html.j2", values, escaping=True)


def markdown(seen: Overview, plan: Plan, labels: Labels) -> str:
    """Returns the page as Markdown that fits into a comment. What needs a person comes first; characters that need
    nothing are only counted."""
    characters = standings(seen, plan)
    text = ""
    for shown in IN_A_COMMENT:
        text = _rendered("page.md.j2", _values(seen, plan, labels, characters, shown), escaping=False)
        if len(text.encode()) <= COMMENT:
            break
    return text


def _rendered(template: str, values: Values, *, escaping: bool) -> str:
    made_inert = visible if escaping else inert
    environment = Environment(
        loader=PackageLoader("reconcile.views"),
        autoescape=escaping,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # Only what a template marks as its own is left as it is.
        finalize=lambda value: value if isinstance(value, Markup) else made_inert(str(value)),
    )
    environment.filters["number"] = "{:,}".format
    environment.filters["own"] = Markup
    environment.filters["many"] = words.many
    environment.filters["hints"] = hints_of
    environment.filters["sentence"] = lambda text: Markup(sentence(text))
    return environment.get_template(template).render(values)


def _own(name: str) -> str:
    return resources.files("reconcile.views").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> Markup:
    """Returns the hash by which a content security policy admits a style or a script."""
    return Markup("'sha256-{}'").format(base64.b64encode(hashlib.sha256(text.encode()).digest()).decode())


def _values(seen: Overview, plan: Plan, labels: Labels, characters: Sequence[CharacterState], shown: int) -> Values:
    columns = _columns(seen)
    groups = list(by_code(plan.findings))
    open_ones = [each for each in characters if not each.needs_nothing]
    known = [each for each in characters if each.char_id is not None]
    counts, (counted, sync) = plan.summary.findings, sums(seen.rows)
    steps = _steps(characters, labels, shown)
    return {
        "title": plan.stores.bucket,
        "created": plan.created,
        "tool": plan.tool,
        "verdict": totals(plan),
        "calm": plan.complete and not plan.actions and not counts.error,
        "incomplete": "" if plan.complete else INCOMPLETE,
        "stores": _stores(plan),
        "rows": [(row, *_sync(row), _share(row)) for row in seen.rows],
        "sums": counted,
        "all_sync": sync.value,
        "columns": [row.label for row in columns],
        "lines": [(_name(each), each, list(_marks(each, columns))) for each in open_ones[:shown]],
        "open": len(open_ones),
        "known": len(known),
        "quiet": sum(each.needs_nothing for each in known),
        "characters": len(characters),
        "changes": len(plan.actions),
        "groups": groups,
        "urgent": [each for each in groups if each.severity != SEVERITIES[Severity.INFO][0]],
        "notes": [each for each in groups if each.severity == SEVERITIES[Severity.INFO][0]],
        "counts": counts,
        "steps": steps,
        "changes_left": len(plan.actions) - sum(count for _, count, _ in steps),
        "waived": [each for each in plan.findings if each.is_waived],
        "shown": shown,
    }


def _name(each: CharacterState) -> str:
    return NO_CHARACTER if each.char_id is None else each.char_id


def _stores(plan: Plan) -> list[tuple[str, str]]:
    named = stores_of(plan.stores)
    named += [("Only the character", char_id) for char_id in plan.scope.char_ids]
    named += [("Only the type", asset_type) for asset_type in plan.scope.asset_types]
    return named + [("Only the asset", path) for path in plan.scope.paths]


def _sync(row: StatusRow) -> tuple[str, str]:
    """Returns the sync state of a row, and its style."""
    return ("–", "empty") if is_outside(row) else (row.sync.value, row.sync.value)


def _share(row: StatusRow) -> int:
    """Returns the percentage of a row that is right, for the bar; at most 99 if something is not."""
    whole = max(row.local, row.bucket, row.in_step)
    if row.sync is Sync.COMPLETE or not whole:
        return 100 if row.sync is Sync.COMPLETE else 0
    return min(99, 100 * row.in_step // whole)


def _cuts(plan: Plan, characters: Sequence[CharacterState]) -> Iterator[str]:
    """Yields what the page has no room for, as sentences for its top."""
    changed = sum(bool(each.changes) for each in characters)
    listed = room_for(characters)
    taken = sum(listed.values())
    if len(characters) > CHARACTERS:
        yield (
            f"The grid holds {CHARACTERS:,} of {len(characters):,} characters, those that need a person first;"
            " reconcile report --char-id ID makes a page of one."
        )
    if taken < len(plan.actions):
        yield (
            f"The page lists {taken:,} of {len(plan.actions):,} changes, of {len(listed):,} of {changed:,}"
            " characters; all counts are of everything, and reconcile plan shows every change."
        )


# -- the grid --


def _columns(seen: Overview) -> list[StatusRow]:
    """Returns a column for each rule, and one for what no rule matches, if there is anything."""
    used = {cell.asset_type for cell in seen.cells}
    return [row for row in seen.rows if row.asset_type is not None or None in used]


def _marks(each: CharacterState, columns: Sequence[StatusRow]) -> Iterator[str]:
    cells = {cell.asset_type: cell for cell in each.cells}
    return (_mark(cells.get(column.asset_type)) for column in columns)


def _mark(cell: Cell | None) -> str:
    """Returns what a cell of the grid shows: a sign, and how many assets are in step."""
    if cell is None or mark_of(cell) == "none":
        return "·"
    count = f"{cell.wanted:,}" if cell.in_step == cell.wanted else f"{cell.in_step:,}/{cell.wanted:,}"
    return f"{_SYMBOLS[mark_of(cell)]} {count}"


# -- the plan --


def _steps(characters: Sequence[CharacterState], labels: Labels, shown: int) -> list[tuple[str, int, list[Values]]]:
    """Returns the changes of the first characters that have any, with the number of all."""
    taken = room_for(characters, changes=shown)
    listed = (each for each in characters if each.char_id in taken)
    return [
        (_name(each), len(each.changes), [_step(change, labels) for change in each.changes[: taken[each.char_id]]])
        for each in listed
    ]


def _step(change: Change, labels: Labels) -> Values:
    """Returns what a change does, to what, and why; and pairs of was or now and a text."""
    where, size, pairs = details(change)
    return {
        "kind": words.LOOKS[type(change)].name,
        "label": "" if change.asset_type is None else label(labels, change.asset_type),
        "where": where,
        "size": size,
        "reason": words.REASONS[change.reason],
        "pairs": pairs,
    }
