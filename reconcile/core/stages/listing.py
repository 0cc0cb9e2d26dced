"""The assets at one key, for the catalogue: their owners, the fields that name them, and their state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconcile.core.catalogue import Asset, AssetState, Listed
from reconcile.core.context import Context
from reconcile.core.decide import ObjectDecision, Verb
from reconcile.core.names import escaped
from reconcile.core.rows import Candidate, KeyRow, KeyTally, Outlook, World
from reconcile.core.rules import Reading


def listed(
    row: KeyRow,
    reading: Reading | None,
    decision: ObjectDecision,
    tally: KeyTally,
    candidates: Sequence[Candidate],
    context: Context,
) -> Iterator[Listed]:
    """Yields the assets at a key where something exists, or that records name.

    A file or an object that no rule claims and no record names is not an asset, except an object without a file, which
    is an orphan.
    """
    naming = [each for each in candidates if each.sure or reading is not None]
    if reading is None and not naming and (row.remote is None or row.local is not None or row.key.endswith("/")):
        return
    named = {each.document: each for each in sorted(naming, key=_place, reverse=True) if each.world is World.RECORDS}
    owners = () if tally.char_id is None else (tally.char_id,)
    characters: list[str | None] = [*sorted({*named, *owners})]
    state = _state(tally, decision)
    local, remote = row.local, row.remote
    size = remote.size if remote is not None else local.size if local is not None else None
    assets = [
        Asset(
            char_id,
            tally.asset_type,
            *_where(char_id, named, reading),
            uri=escaped(context.bucket.uri(row.key)),
            size=size,
            content_type=None if remote is None else remote.content_type,
            updated=None if remote is None else remote.updated or None,
            local=local is not None,
            bucket=remote is not None,
            state=state,
        )
        for char_id in characters or [None]
        if context.scope.takes_character(char_id)
    ]
    if assets:
        yield Listed(row.key, tuple(assets), tally.pending and row.exists)


def _where(char_id: str | None, named: dict[str, Candidate], reading: Reading | None) -> tuple[str | None, str | None]:
    """Returns the map and the field that name the asset, or would."""
    found = None if char_id is None else named.get(char_id)
    if found is not None:
        return found.slot.entry, found.slot.field
    if reading is None or reading.rule.field is None or char_id is None:
        return None, None
    return reading.entry_for(char_id), reading.rule.field


def _place(candidate: Candidate) -> tuple[bool, int, str, int]:
    """Sorts URIs before paths, then by map, then by the name of the field."""
    slot = candidate.slot
    return (not candidate.exact, -1 if slot.position is None else slot.position, slot.field, slot.item or 0)


def _state(tally: KeyTally, decision: ObjectDecision) -> AssetState:
    outlook = decision.outlook
    if outlook is Outlook.UNKNOWN:
        return AssetState.UNKNOWN
    if outlook is Outlook.ABSENT:
        return AssetState.MISSING
    if decision.verb is not Verb.NOTHING:
        return AssetState.UPLOAD if decision.verb is Verb.CREATE else AssetState.REPLACE
    if not tally.wanted:
        return AssetState.ORPHAN
    return AssetState.IN_STEP if tally.right else AssetState.HELD
