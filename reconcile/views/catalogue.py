"""The catalogue as a table, as CSV and as JSON. Each row is written as it comes, and none is kept."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, TextIO, TypeVar

import msgspec

from reconcile.core.catalogue import Asset, AssetState, Lacking
from reconcile.core.errors import ReconcileError
from reconcile.core.plan import Scope
from reconcile.views import json, words
from reconcile.views.errors import error_of
from reconcile.views.streams import write_bytes
from reconcile.views.terminal import Piece, Terminal, visible

T = TypeVar("T")
FORMAT = "reconcile.list/1"
AT_ONCE = 500
"""Rows of a table that are aligned together."""
_FORMULAS = ("=", "+", "-", "@")
_COLOURS = {
    AssetState.IN_STEP: "green",
    AssetState.ORPHAN: "dim",
    AssetState.HELD: "bold red",
    AssetState.MISSING: "bold red",
    AssetState.UNKNOWN: "bold red",
}


class AssetList(msgspec.Struct, frozen=True):
    """The document of ``list --json``: the assets, or with ``--missing`` the types that characters lack.

    ``complete`` is false if a part of a world could not be read, so that assets may be left out. ``error`` is what
    ended the list early, if anything did.
    """

    format: str
    scope: Scope
    rows: tuple[Asset, ...] = ()
    missing: tuple[Lacking, ...] = ()
    complete: bool = True
    error: json.ErrorDocument | None = None


def show_json(
    stream: TextIO, scope: Scope, name: str, rows: Iterable[Asset | Lacking], is_complete: Callable[[], bool]
) -> ReconcileError | None:
    """Writes an ``AssetList`` with the rows, as they come, in its array of this ``name``; after the last one it asks
    whether the list ``is_complete``. An error before the first row is raised; a later one ends the document, and is
    returned."""
    head = f'{{"format": "{FORMAT}", "scope": '.encode() + msgspec.json.encode(scope) + f', "{name}": [\n'.encode()
    before, error = head, None
    try:
        for row in rows:
            json.show_piece(stream, before + msgspec.json.encode(row))
            before = b",\n"
    except (Exception, KeyboardInterrupt) as cause:
        if before is head:
            raise
        error = error_of(cause)
    complete = msgspec.json.encode(error is None and is_complete())
    told = msgspec.json.encode(None if error is None else json.ErrorDocument.of(error))
    start = head if before is head else b"\n"
    json.show_piece(stream, start + b'], "complete": ' + complete + b', "error": ' + told + b"}\n")
    return error


def show_csv(stream: TextIO, kind: type[Asset | Lacking], rows: Iterable[Asset | Lacking]) -> None:
    """Writes a line that names the fields, and one for each row. It is UTF-8, and nothing in the names can control a
    terminal or run in a spreadsheet."""
    names = kind.__struct_fields__
    _csv_line(stream, names)
    for row in rows:
        _csv_line(stream, [_cell(getattr(row, name)) for name in names])


def _csv_line(stream: TextIO, cells: Sequence[str]) -> None:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    write_bytes(stream, line.getvalue().encode("utf-8", "backslashreplace"))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = visible(value.value if isinstance(value, AssetState) else str(value))
    # A spreadsheet would run a cell that begins like this as a formula, and names may come from strangers.
    return f"'{text}" if text.startswith(_FORMULAS) else text


def show_assets(terminal: Terminal, assets: Iterable[Asset], *, urls: bool) -> None:
    head = ("character", "type", "entry", "field", "size", "content type", "updated", "here", "state")
    last = "URL" if urls else "URI"
    _show(terminal, (*head, last), assets, lambda asset: _asset_cells(asset, urls=urls), numbers=(4,))


def show_lacking(terminal: Terminal, rows: Iterable[Lacking]) -> None:
    _show(terminal, ("character", "lacks"), rows, lambda row: [row.char_id, row.asset_type])


def _show(
    terminal: Terminal,
    head: Sequence[str],
    rows: Iterable[T],
    cells: Callable[[T], Sequence[Piece]],
    numbers: Sequence[int] = (),
) -> None:
    """Writes a table, even if there are no rows."""
    widths: list[int] = []
    first: Sequence[str] | None = head
    coming = iter(rows)
    while (some := list(islice(coming, AT_ONCE))) or first is not None:
        widths = terminal.table(first, map(cells, some), numbers, widths)
        first = None


def _asset_cells(asset: Asset, *, urls: bool) -> list[Piece]:
    state: Piece = (asset.state.value, _COLOURS.get(asset.state, "yellow"))
    return [
        asset.char_id or "-",
        asset.asset_type or "-",
        asset.entry or "-",
        asset.field or "-",
        "-" if asset.size is None else words.size(asset.size),
        asset.content_type or "-",
        asset.updated or "-",
        "yes" if asset.local else "no",
        state,
        (asset.url if urls else None) or asset.uri,
    ]
