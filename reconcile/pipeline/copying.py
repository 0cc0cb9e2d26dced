"""Turns uploads into copies if the bucket already has the content under another name, so that nothing is sent.

A source is an object without a local file, from the listing of this planning, or one that agrees with its local file,
from what this machine remembers; so nothing has to be held for assets that are in step. The bucket is asked for an MD5
only of the few chosen sources. Whether it is the MD5 of the local file is checked when the plan is applied.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import msgspec

from reconcile.adapters.sorting import Sorter, Spill
from reconcile.adapters.workers import results
from reconcile.core.changes import Change, Copy, Replace, Upload
from reconcile.core.errors import StoreError
from reconcile.core.rows import Row, Source, Stream, content_name
from reconcile.project import OpenProject

TRIED = 4
"""The most sources of one content that are tried, in the order of their names."""


class CopySources:
    """The objects that have no local file, by content."""

    streams = (Stream.SOURCE,)

    def __init__(self, spill: Spill) -> None:
        self._rows = Sorter(spill)

    def take(self, row: Row) -> None:
        self._rows.add(row.key, row)

    def copied(self, project: OpenProject, changes: Sequence[Change]) -> list[Change]:
        """Returns the changes, with a copy in place of each upload whose content has a source. To be called once: it
        consumes the rows."""
        wanted = {_content(each) for each in changes if isinstance(each, Upload)}
        if not wanted:
            return list(changes)
        found: defaultdict[str, set[Source]] = defaultdict(set)
        for content, row in self._rows:
            if content in wanted and row is not None:
                found[content].add(row.value)
        for state in project.agreed.holding({content.partition(" ")[0] for content in wanted}):
            source = Source(state.key, state.size, state.crc32c, state.generation)
            if source.content in wanted:
                found[source.content].add(source)
        # A key that is to be uploaded does not hold what is remembered of it, so its MD5 would be of no use.
        unfit = {each.key for each in changes if isinstance(each, Replace | Upload)}
        chosen = _chosen(project, found, unfit)
        return [
            _copy(each, chosen.get(_content(each)), project) if isinstance(each, Upload) else each for each in changes
        ]


def _content(change: Upload) -> str:
    return content_name(change.size, change.crc32c)


def _chosen(project: OpenProject, found: Mapping[str, Iterable[Source]], unfit: set[str]) -> dict[str, Source]:
    """Returns the first source of each content, by name, that is usable, still there and has an MD5."""
    jobs: list[Callable[[], tuple[str, Source | None]]] = [
        partial(_first, project, content, sorted(each for each in sources if each.key not in unfit)[:TRIED])
        for content, sources in sorted(found.items())
    ]
    return {content: source for content, source in results(jobs, project.at_once) if source is not None}


def _first(project: OpenProject, content: str, sources: Sequence[Source]) -> tuple[str, Source | None]:
    for source in sources:
        try:
            if project.objects.md5(source.key, generation=source.generation) is not None:
                return content, source
        except StoreError:  # what may not be read is not copied
            continue
    return content, None


def _copy(change: Upload, source: Source | None, project: OpenProject) -> Upload | Copy:
    if source is None:
        return change
    uri = project.bucket.uri(source.key)
    return Copy(**msgspec.structs.asdict(change), source=uri, source_generation=source.generation)
