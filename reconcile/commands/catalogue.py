"""What ``list`` makes of the catalogue: rows with signed URLs, or the asset types that each character lacks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import msgspec

from reconcile.core.catalogue import Asset, Lacking
from reconcile.core.names import BucketRoot
from reconcile.core.plan import Scope
from reconcile.core.rules import AssetMap
from reconcile.pipeline.catalogue import Catalogue


def with_urls(assets: Iterable[Asset], signed: Callable[[str], str], bucket: BucketRoot) -> Iterator[Asset]:
    """Yields the assets, those in the bucket with the URL signed for their key. Raises what ``signed`` raises."""
    for asset in assets:
        key = bucket.key(asset.uri) if asset.bucket else None
        yield asset if key is None else msgspec.structs.replace(asset, url=signed(key))


def lacking(catalogue: Catalogue, asset_map: AssetMap, scope: Scope) -> Iterator[Lacking]:
    """Yields the asset types of which a known character has nothing, neither here nor in the bucket. Reads the whole
    catalogue first, and holds the types that each character has."""
    types = [rule.type for rule in asset_map.rules if scope.takes_type(rule.type)]
    bit = {asset_type: 1 << at for at, asset_type in enumerate(types)}
    has: defaultdict[str | None, int] = defaultdict(int)
    for asset in catalogue:
        if asset.local or asset.bucket:
            has[asset.char_id] |= bit.get(asset.asset_type or "", 0)
    for char_id in sorted(catalogue.known_ids):
        if scope.takes_character(char_id):
            yield from (Lacking(char_id, each) for each in types if not has.get(char_id, 0) & bit[each])
