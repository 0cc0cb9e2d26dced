"""Reads the worlds of a project, in the same way for every command: the records, what they name, then a row for each
key, after the references that can mean no other key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property

import msgspec

from reconcile.adapters.sorting import DocumentSpool, Keyed, Sorter, Spill
from reconcile.core.context import Context
from reconcile.core.events import Listener, Phase, PhaseDone, PhaseStarted
from reconcile.core.plan import Scope
from reconcile.core.rows import Row, Stream, World
from reconcile.core.stages import explode_stage
from reconcile.pipeline.gaps import Gap
from reconcile.pipeline.observe import Observations
from reconcile.pipeline.roster import open_records, read_roster
from reconcile.pipeline.shortcut import Count, Shortcut, may_skip
from reconcile.project import OpenProject


class Inventory:
    """The contents of the worlds of a project. Opening it reads the records, and what they name outside the part in
    scope. ``rows`` then reads files and objects, and can be iterated once.

    Raises StoreError, SourceError and ConfigError if a world cannot be read, and UsageError if the scope names no known
    character or asset type. If ``partial``, a part of a store that may not be read stays unknown, unless nothing can be
    read. ``trace`` are the keys and paths whose facts are requested. What does not fit into the memory of the ``spill``
    is on disk until that is closed. With a ``skip``, what is in step beyond doubt is left out, and ``skip`` is called
    with its asset type and character.
    """

    def __init__(
        self,
        project: OpenProject,
        scope: Scope,
        listener: Listener,
        spill: Spill,
        *,
        partial: bool = False,
        trace: Collection[str] = (),
        skip: Count | None = None,
    ) -> None:
        self._listener = listener
        self._spill = spill
        # Files may already be walked while the records are read if a shortcut looks some of them up again at the end.
        is_ahead = skip is not None and may_skip(project.asset_map, scope, trace) and project.walk_apart()
        self.roster, self._before = open_records(
            project,
            scope,
            listener,
            lambda: read_roster(
                project,
                scope,
                listener,
                partial=partial,
                shelve=lambda found: DocumentSpool(spill, found),
                remembered=skip is not None,
            ),
            trace,
        )
        self._observed = Observations(
            project, self.roster.scope, self.roster.known_ids, listener, spill, partial=partial
        )
        scope = self.roster.scope
        self.shortcut: Shortcut | None = None
        self._of_scope = tuple(self._exploded()) if scope.char_ids or scope.asset_types else None
        self.context = self._before if self._of_scope is None else self._learnt(self._of_scope)
        """The context of the key stage, whose rows say which sides of each key are known."""
        self.shortcut = None if skip is None else Shortcut.of(self.context, skip, spill)
        self._observed.looks_again = is_ahead and self.shortcut is not None
        if is_ahead and self.shortcut is None:
            project.walk_here()

    def _exploded(self) -> Iterator[Row]:
        for world, document in self.roster.by_world():
            shortcut = self.shortcut if world is World.RECORDS else None
            yield from explode_stage(document, world, self._before) if shortcut is None else shortcut.exploded(document)

    def _learnt(self, references: Sequence[Row]) -> Context:
        """Returns the context, with the characters to which files that are named outside the part in scope could
        belong."""
        context, asked = self._before, [row.value for row in references]
        if not context.scope.char_ids:
            fields = {rule.field for rule in context.asset_map.rules if rule.type in context.scope.asset_types}
            asked = [each for each in asked if not each.slot.at and each.slot.field in fields]
        named = self._observed.named
        named.look_up(asked)
        ids_known = context.ids_known and named.ids_known
        return msgspec.structs.replace(context, known_ids=named.known_ids, ids_known=ids_known)

    def references(self) -> Iterator[Row]:
        """Yields a row for each key that a text in a record could mean."""
        return self._exploded() if self._of_scope is None else iter(self._of_scope)

    def keys(self, asked: Iterable[Keyed] = ()) -> Iterator[Row]:
        """Yields a row for each key that exists or is ``asked`` (which must be sorted), in the order of the keys, each
        after the rows that were asked with it."""
        self._listener(PhaseStarted(Phase.LISTING))
        yield from self._observed.rows(asked, self.shortcut)
        if self.roster.denied is not None and not self._observed.extent.listed:
            raise self.roster.denied
        self._listener(PhaseDone(Phase.LISTING))

    def rows(self) -> Iterator[Row]:
        """Yields the references, and the keys in them and in the listings: first the references that may mean a key in
        another spelling, then each key after the references that can mean only this key."""
        asked = Sorter(self._spill)
        for row in self.references():
            if row.value.is_strict:
                asked.add(row.value.key, row)
            else:
                asked.add(row.value.key)
                if self.shortcut is not None:
                    self.shortcut.note_loose(row)
                yield row
        yield from self.keys(asked)

    def records(self) -> Iterator[Row]:
        documents = self.roster.documents
        if self.shortcut is not None and isinstance(documents, DocumentSpool):
            documents = documents.some(self.shortcut.judges)
        return (Row(Stream.RECORD, each.id, each) for each in documents)

    def local_records(self) -> Iterator[Row]:
        return (Row(Stream.LOCAL_RECORD, each.id, each) for each in self.roster.local_documents)

    @cached_property
    def covered(self) -> Context:
        """The context of the document stage, which says what was read completely. To be used after all keys were
        read."""
        extent = self._observed.extent
        return msgspec.structs.replace(self.context, local=extent.local, remote=extent.remote)

    @property
    def files(self) -> int:
        return self._observed.files

    @property
    def gaps(self) -> tuple[Gap, ...]:
        return (*self.roster.refused, *self._observed.extent.gaps)
