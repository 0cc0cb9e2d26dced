"""Stage 1: one document → its references, one row for each key that a text could mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reconcile.core.context import Context
from reconcile.core.mentions import Mention, mention
from reconcile.core.names import fold, is_unicode
from reconcile.core.paths import (
    PathKind,
    PathMeaning,
    Target,
    bare,
    is_separated,
    looks_like_path,
    meaning,
    repairs_each,
)
from reconcile.core.rows import Candidate, Document, Row, Slot, Stream, World
from reconcile.core.stages.elsewhere import is_flat, is_ours, texts_elsewhere


def explode_stage(document: Document, world: World, context: Context) -> Iterator[Row]:
    """Yields the document's references, each under the folded key that it could mean."""
    for candidate in explode(document, world, context):
        yield Row(Stream.REFERENCE, fold(candidate.key), candidate)


def explode(document: Document, world: World, context: Context) -> Iterator[Candidate]:
    """Yields the keys that the document's texts could mean."""
    if not is_unicode(document.fields):
        return
    found = list(all_texts(document.fields, context))
    repairs = repairs_each(text for _, text in found)
    for slot, text in found:
        yield from candidates(document.id, world, slot, text, context, repairs)


def explode_uris(document: Document, world: World, context: Context) -> Iterator[Candidate]:
    """Yields the same for texts that begin like the URIs of keys, ignoring all others."""
    if not is_unicode(document.fields):
        return
    for slot, text in all_texts(document.fields, context):
        if context.bucket.key(text) is not None:
            yield from candidates(document.id, world, slot, text, context, repairs=1)


def all_texts(fields: Mapping[str, Any], context: Context) -> Iterator[tuple[Slot, str]]:
    """Yields every text of a document that could name an asset, those of plain fields first.

    In a plain field that is the whole text, or each text in a list of single values.
    """
    key = context.entries.key
    for position, title, entry in context.entries.maps(context.entries.of(fields)):
        for field, value in entry.items():
            if field == key:
                continue
            if isinstance(value, str):
                if value.strip():
                    yield Slot(position, title, field), value
            elif is_flat(value):
                for item, text in enumerate(value):
                    if isinstance(text, str) and text.strip():
                        yield Slot(position, title, field, item), text
    yield from texts_elsewhere(fields, context)


def repairs_in(fields: Mapping[str, Any], context: Context) -> int:
    """Returns how many readings of a damaged text of this document may be tried."""
    return repairs_each(text for _, text in all_texts(fields, context))


def candidates(
    document: str, world: World, slot: Slot, text: str, context: Context, repairs: int
) -> Iterator[Candidate]:
    """Yields the keys that one text could mean; ``repairs`` is ``repairs_in`` of its document."""
    if mention(text, context.roots) is Mention.LONGER:
        return
    named = [context.bucket.key(each) for each in dict.fromkeys((text, text.strip(), bare(text)))]
    keys = [key for key in named if key is not None]
    for rank, key in enumerate(keys):
        exact = context.bucket.uri(key) == text
        yield Candidate(key, world, document, slot, rank, exact=exact, windows=False, sure=True)
    if keys:
        return
    ruled = not slot.at and slot.field in context.asset_map.fields
    if not ruled and not looks_like_path(text) and not is_separated(text):
        return
    found = meaning(text, context.roots, repairs)
    if found.kind in (PathKind.GS, PathKind.URL, PathKind.DEVICE):
        return
    ours = not slot.at or is_ours(text, found, context)
    for rank, target in enumerate(found.targets):
        sure = target.sure and ours
        if sure or (context.asset_map.could_take(target.path) and (ruled or _may_be(target, text, found, slot))):
            yield Candidate(
                context.asset_map.key_for(target.path, context.known_ids),
                world,
                document,
                slot,
                rank,
                exact=False,
                windows=target.windows,
                sure=sure and not target.damaged,
                damaged=target.damaged,
            )


def _may_be(target: Target, text: str, found: PathMeaning, slot: Slot) -> bool:
    """Whether a text that no rule writes can be the path of the file that its tail names.

    In a sentence, or a list of words between slashes, the tail may merely be mentioned. A map's name is a path only if
    the text has the form of a path.
    """
    if found.kind is PathKind.ABSOLUTE or target.sure:
        return True
    inner = bare(text)
    return not slot.is_name and not any(map(str.isspace, inner[: max(0, len(inner) - len(target.path))]))
