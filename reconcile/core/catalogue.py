"""The catalogue: one row for each asset, with what is known of it and its state."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

import msgspec

from reconcile.core.rows import Mark, Recorded, Retyped, Unsettled, Unwanted


class AssetState(Enum):
    """How an asset stands: ``in_step``, or what is to be done. ``metadata``: only its object's content type is to be
    set. ``record``: only a record is to be written. ``held``: it waits for a person, or for a later run; the plan has
    the finding. ``orphan``: no record uses the object. ``missing``: a record names it, and it is nowhere. ``unknown``:
    a place where it could be was not read."""

    IN_STEP = "in_step"
    UPLOAD = "upload"
    REPLACE = "replace"
    METADATA = "metadata"
    RECORD = "record"
    HELD = "held"
    ORPHAN = "orphan"
    MISSING = "missing"
    UNKNOWN = "unknown"


class Asset(msgspec.Struct, frozen=True, gc=False):
    """One asset of one character.

    ``entry`` and ``field`` are where the character's record names it, or else where its rule would have it; null if
    neither says. ``size`` in bytes, ``content_type`` and ``updated`` (RFC 3339) are the object's; without an object
    ``size`` is the local file's. ``local`` and ``bucket`` say where it is. ``url`` is a signed URL, if
    one was asked for.
    """

    char_id: str | None
    asset_type: str | None
    entry: str | None
    field: str | None
    uri: str
    size: int | None
    content_type: str | None
    updated: str | None
    local: bool
    bucket: bool
    state: AssetState
    url: str | None = None

    def __repr__(self) -> str:
        """Without the signed URL: whoever finds it in a log could read the asset."""
        whose = " ".join(each or "?" for each in (self.char_id, self.asset_type))
        return f"<Asset {self.uri}: {whose}, {self.state.value}>"


class Lacking(msgspec.Struct, frozen=True):
    """A character that has no asset of a type, neither here nor in the bucket."""

    char_id: str
    asset_type: str


class Listed(msgspec.Struct, frozen=True, gc=False):
    """The assets at one key, one for each character that has it, as far as the key's own facts say. ``pending`` if a
    record may still have something to say about it."""

    key: str
    assets: tuple[Asset, ...]
    pending: bool

    def settled(self, marks: Collection[Mark]) -> tuple[Asset, ...]:
        """The assets, when every record has had its say."""
        kinds = {type(mark) for mark in marks}
        later = next((state for kind, state in _BY_MARK.items() if kind in kinds), None)
        if later is None:
            return self.assets
        return tuple(
            asset if asset.state in _BEFORE else msgspec.structs.replace(asset, state=later) for asset in self.assets
        )


_BY_MARK: dict[type, AssetState] = {
    Unwanted: AssetState.ORPHAN,
    Retyped: AssetState.METADATA,
    Recorded: AssetState.RECORD,
    Unsettled: AssetState.HELD,
}
_BEFORE = (AssetState.UPLOAD, AssetState.REPLACE, AssetState.MISSING, AssetState.UNKNOWN)
