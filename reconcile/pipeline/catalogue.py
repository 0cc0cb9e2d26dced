"""The catalogue of a project: every asset, one by one, from the rows that a plan is made from; and what ``list`` makes
of it.

An asset that no later record can change is yielded at once, in the order of the keys in the bucket. The others are
held, in the same bounded memory as the rows of a plan, and yielded at the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import msgspec

from reconcile.adapters.sorting import Sorter, Spill
from reconcile.core.catalogue import Asset, AssetState, Lacking, Mark
from reconcile.core.changes import Code, ObjectChange, SetField, SetMetadata
from reconcile.core.events import Listener, Warned, silent
from reconcile.core.names import BucketRoot
from reconcile.core.plan import Scope
from reconcile.core.rows import Row, Stream
from reconcile.core.stages import document_stage, is_whole, key_stage
from reconcile.pipeline.engine import StreamEngine, groups
from reconcile.pipeline.gaps import warning_of
from reconcile.pipeline.inventory import Inventory
from reconcile.pipeline.roster import warn_if_root_is_gone
from reconcile.project import OpenProject


class Catalogue:
    """The assets in scope, to be iterated once. Raises as ``Inventory`` does, to which ``partial`` is passed.

    After the iteration ``complete`` says whether everything could be read, and ``known_ids`` are all known characters.
    """

    def __init__(
        self, project: OpenProject, scope: Scope, listener: Listener = silent, *, partial: bool = False
    ) -> None:
        self._project = project
        self.scope = scope
        self._listener = listener
        self._partial = partial
        self.complete = True
        self.known_ids: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[Asset]:
        project, listener = self._project, self._listener
        with Spill(project.options.memory, project.spill_folder) as spill:
            seen = Inventory(project, self.scope, listener, spill, partial=self._partial)
            self.known_ids = seen.roster.known_ids
            waiting, of_records = Sorter(spill), Sorter(spill)
            context = msgspec.structs.replace(seen.context, lists=True)
            for _, group in StreamEngine(spill).group(seen.rows(), is_whole):
                for row in key_stage(group, context):
                    if row.stream is Stream.LISTED and not row.value.pending:
                        yield from row.value.assets
                    else:
                        self._take(row, waiting, of_records)
            for row in chain(seen.local_records(), seen.records()):
                of_records.add(row.key, row)
            for char_id, group in groups(of_records):
                for row in document_stage(char_id, group, seen.covered):
                    self._take(row, waiting, of_records)
            for _, group in groups(waiting):
                for listed in group.get(Stream.LISTED, ()):
                    yield from listed.settled(group.get(Stream.MARK, ()))
            for gap in seen.gaps:
                if gap.hides_ours:
                    self.complete = False
                    listener(Warned(warning_of(gap)))
            warn_if_root_is_gone(project, listener)

    def lacking(self) -> Iterator[Lacking]:
        """Yields the asset types in scope of which a known character has nothing, neither here nor in the bucket. Reads
        the whole catalogue first, and holds the types that each character has."""
        types = [rule.type for rule in self._project.asset_map.rules if self.scope.takes_type(rule.type)]
        bit = {asset_type: 1 << at for at, asset_type in enumerate(types)}
        has: defaultdict[str | None, int] = defaultdict(int)
        for asset in self:
            if asset.local or asset.bucket:
                has[asset.char_id] |= bit.get(asset.asset_type or "", 0)
        for char_id in sorted(self.known_ids):
            if self.scope.takes_character(char_id):
                yield from (Lacking(char_id, each) for each in types if not has[char_id] & bit[each])

    def _take(self, row: Row, waiting: Sorter, of_records: Sorter) -> None:
        match row.stream:
            case Stream.LISTED | Stream.MARK:
                waiting.add(row.key, row)
            case Stream.ANSWER | Stream.CLAIM:
                of_records.add(row.key, row)
            case Stream.CHANGE if not (
                isinstance(row.value, ObjectChange) or (isinstance(row.value, SetField) and row.value.is_index)
            ):
                for need in row.value.needs:
                    waiting.add(need.key, Row(Stream.MARK, need.key, Mark(need.key, AssetState.RECORD)))
            case Stream.CHANGE if isinstance(row.value, SetMetadata):
                waiting.add(row.value.key, Row(Stream.MARK, row.value.key, Mark(row.value.key, AssetState.METADATA)))
            case Stream.FINDING:
                self.complete = self.complete and row.value.code is not Code.UNREADABLE_FILE
            case _:
                pass


def with_urls(assets: Iterable[Asset], signed: Callable[[str], str], bucket: BucketRoot) -> Iterator[Asset]:
    """Yields the assets, those in the bucket with the URL signed for their key. Raises what ``signed`` raises."""
    for asset in assets:
        key = bucket.key(asset.uri) if asset.bucket else None
        yield asset if key is None else msgspec.structs.replace(asset, url=signed(key))
