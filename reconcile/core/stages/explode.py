"""Stage 1: one document → its references, one row for each key that a text could mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconcile.core.context import Context
from reconcile.core.names import is_unicode
from reconcile.core.paths import Kind, is_separated, looks_like_path, meaning, repairs_each
from reconcile.core.rows import Candidate, Document, Slot, World


def explode(document: Document, world: World, context: Context) -> Iterator[Candidate]:
    """The keys that the document's texts could mean."""
    if not is_unicode(document.fields):
        return
    entries = context.entries.of(document.fields)
    repairs = repairs_in(entries, context)
    for slot, text in texts(entries, context):
        yield from _candidates(document.id, world, slot, text, context, repairs)


def texts(entries: Any, context: Context) -> Iterator[tuple[Slot, str]]:
    """Every text in the maps of ``entries`` that could name an asset: each string field, and each string in a list."""
    if not isinstance(entries, list):
        return
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            continue
        title = entry_key(entry, context)
        for field, value in entry.items():
            if field == context.entry_key:
                continue
            if isinstance(value, str):
                if value.strip():
                    yield Slot(position, title, field), value
            elif isinstance(value, list):
                for item, text in enumerate(value):
                    if isinstance(text, str) and text.strip():
                        yield Slot(position, title, field, item), text


def repairs_in(entries: Any, context: Context) -> int:
    """How many ways to read a damaged text of these maps back may be tried."""
    return repairs_each(text for _, text in texts(entries, context))


def entry_key(entry: dict[str, Any], context: Context) -> str | None:
    """What tells this map apart, or None."""
    title = entry.get(context.entry_key)
    return title if isinstance(title, str) else None


def _candidates(
    document: str, world: World, slot: Slot, text: str, context: Context, repairs: int
) -> Iterator[Candidate]:
    named = [context.bucket.key(each) for each in dict.fromkeys((text, text.strip()))]
    keys = [key for key in named if key is not None]
    for rank, key in enumerate(keys):
        exact = context.bucket.uri(key) == text
        yield Candidate(key, world, document, slot, rank, exact=exact, windows=False, sure=True)
    if keys:
        return
    ruled = slot.field in context.asset_map.fields
    if not ruled and not looks_like_path(text) and not is_separated(text):
        return
    found = meaning(text, context.roots, repairs)
    if found.kind in (Kind.GS, Kind.URL, Kind.DEVICE):
        return
    for rank, target in enumerate(found.targets):
        if target.sure or context.asset_map.could_take(target.path):
            yield Candidate(
                context.asset_map.key_for(target.path, context.known_ids),
                world,
                document,
                slot,
                rank,
                exact=False,
                windows=target.windows,
                sure=target.sure and not target.damaged,
                damaged=target.damaged,
            )
