"""The catalogue: one row for each asset, with its known properties and its state."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

import msgspec


class AssetState(Enum):
    """The state of an asset: ``in_step``, or what remains to be done.

    ``metadata``: only its object's content type has to be set. ``record``: only a record has to be written. ``held``:
    it waits for a person or a later run; the plan has the finding. ``orphan``: no record uses the object. ``missing``:
    a record names it, but it is nowhere. ``unknown``: a place where it could be was not read.
    """

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

    ``entry`` and ``field`` are the character's map and field that name it, or else those that its rule would use; null
    if neither is known. ``size`` in bytes, ``content_type`` and ``updated`` (RFC 3339) are the object's; without an
    object, ``size`` is the local file's. ``local`` and ``bucket`` say where it exists. ``url`` is a signed URL, if
    requested.
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
        """Leaves out the signed URL: anybody who finds it in a log could read the asset."""
        whose = " ".join(each or "?" for each in (self.char_id, self.asset_type))
        return f"<Asset {self.uri}: {whose}, {self.state.value}>"


class Lacking(msgspec.Struct, frozen=True):
    """A character without an asset of a type, both locally and in the bucket."""

    char_id: str
    asset_type: str


class Mark(msgspec.Struct, frozen=True):
    """What the judging of records and content types finds about a key.

    ``ORPHAN``: no record and no rule wants it. ``METADATA``: its object gets another content type. ``RECORD``: a
    planned change of a record needs it. ``HELD``: it is not in step although nothing is planned for it (it waits for a
    person or a later run).
    """

    key: str
    state: AssetState


class Listed(msgspec.Struct, frozen=True, gc=False):
    """The assets at one key, one for each character that has it, as far as the key's own facts show.

    ``pending`` means that a record may still change their state.
    """

    key: str
    assets: tuple[Asset, ...]
    pending: bool

    def settled(self, marks: Collection[Mark]) -> tuple[Asset, ...]:
        """Returns the assets once every record has been judged."""
        found = {mark.state for mark in marks}
        later = next((state for state in _LATER if state in found), None)
        if later is None:
            return self.assets
        return tuple(
            asset if asset.state in _BEFORE else msgspec.structs.replace(asset, state=later) for asset in self.assets
        )


_LATER = (AssetState.ORPHAN, AssetState.METADATA, AssetState.RECORD, AssetState.HELD)
_BEFORE = (AssetState.UPLOAD, AssetState.REPLACE, AssetState.MISSING, AssetState.UNKNOWN)
