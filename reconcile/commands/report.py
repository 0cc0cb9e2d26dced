"""What a page shows besides the plan and the counts: the state of each character, the asset type of each finding, the
two sides of each conflict, and small pictures: of those sides first, then of new and changed files, within a limit of
time and room."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import msgspec

from reconcile.adapters.thumbnails import Thumbnails
from reconcile.commands.status import Cell, Overview
from reconcile.config.settings import Settings
from reconcile.core.changes import Change, Replace, Severity, Upload
from reconcile.core.errors import ReconcileError
from reconcile.core.plan import Plan
from reconcile.core.rows import LocalFile, RemoteObject
from reconcile.core.status import Sync
from reconcile.pipeline.survey import Survey
from reconcile.project import OpenProject

CharId: TypeAlias = str | None
MOST = 200
"""The most pictures on a page."""
ROOM = 256 << 10
"""The most bytes that they take together."""
SECONDS = 20.0
"""Seconds after which no further picture is begun."""


class CharacterState(msgspec.Struct):
    """The state of a character: whether one of its assets is not in step, its cells, its changes, and its number of
    findings of each severity."""

    char_id: CharId
    is_open: bool = False
    cells: list[Cell] = []
    changes: list[Change] = []
    findings: Counter[Severity] = msgspec.field(default_factory=Counter)

    @property
    def worst_first(self) -> tuple[Any, ...]:
        """The sort key: characters with errors first, then those with warnings, then those with something to do. Assets
        without a character are last in each group."""
        is_open = bool(self.changes) or self.is_open
        return (-self.errors, -self.warnings, not is_open, self.char_id is None, self.char_id or "")

    @property
    def errors(self) -> int:
        """The number of its errors that are not waived."""
        return self.findings[Severity.ERROR]

    @property
    def warnings(self) -> int:
        """The number of its warnings that are not waived."""
        return self.findings[Severity.WARNING]

    @property
    def needs_nothing(self) -> bool:
        """Whether there is nothing to do for it and nobody needs to look at it."""
        return not (self.changes or self.is_open or self.errors or self.warnings)


class Details(msgspec.Struct, frozen=True):
    """Details about the subjects of findings.

    ``types`` are their asset types, and ``conflicts`` are files that differ from their objects, both by subject.
    ``pictures`` are small images (``data:`` URIs): those of local files by key, those of objects by URI.
    """

    types: Mapping[str, str] = {}
    conflicts: Mapping[str, tuple[LocalFile, RemoteObject]] = {}
    pictures: Mapping[str, str] = {}


def standings(seen: Overview, plan: Plan) -> list[CharacterState]:
    """Returns the state of every character, the worst first. Assets without a character are left out if there are
    none."""
    by_id: dict[CharId, CharacterState] = defaultdict(lambda: CharacterState(None))
    for row in seen.characters:
        by_id[row.char_id].is_open = row.sync in (Sync.PARTIAL, Sync.MISSING)
    for cell in seen.cells:
        by_id[cell.char_id].cells.append(cell)
    for change in plan.actions:
        by_id[change.char_id].changes.append(change)
    for finding in plan.findings:
        if not finding.is_waived:
            by_id[finding.char_id].findings[finding.severity] += 1
    for char_id, state in by_id.items():
        state.char_id = char_id
    # Files that no rule matches have no character, and are reported among the findings.
    nobody = by_id[None]
    if not nobody.changes and not any(cell.wanted and cell.asset_type is not None for cell in nobody.cells):
        del by_id[None]
    return sorted(by_id.values(), key=lambda each: each.worst_first)


def details(project: OpenProject, survey: Survey, seen: Overview, thumbnails: Thumbnails | None) -> Details:
    """Returns what the survey knows about the subjects of its findings, and with ``thumbnails`` pictures of them."""
    made = {} if thumbnails is None else pictures(project, survey, standings(seen, survey.plan), thumbnails)
    both = ((each.path, each.local, each.remote) for each in survey.conflicts)
    conflicts = {path: (local, remote) for path, local, remote in both if path and local and remote}
    return Details(dict(_types(survey, project.settings)), conflicts, made)


def _types(survey: Survey, settings: Settings) -> Iterator[tuple[str, str]]:
    asset_map, known = settings.asset_map, survey.known_ids
    for subject in {finding.subject for finding in survey.plan.findings}:
        if "://" in subject:
            key = settings.bucket.key(subject)
            reading = None if key is None else asset_map.read_key(key, known)
        else:
            reading = asset_map.read(subject, known)
        if reading is not None:
            yield subject, reading.rule.type


# -- pictures --


def pictures(
    project: OpenProject, survey: Survey, characters: Sequence[CharacterState], thumbnails: Thumbnails
) -> Mapping[str, str]:
    """Returns the pictures as ``data:`` URIs: those of local files by key, those of objects by URI. What cannot be
    read, or turns out not to be a picture, has none."""
    made: dict[str, str] = {}
    room, end = ROOM, time.monotonic() + SECONDS
    for name, path, size, read in _subjects(project, survey, characters):
        if len(made) == MOST or time.monotonic() > end:
            break
        most = thumbnails.most(path)
        if name in made or not 0 < size <= most:
            continue
        try:
            data = read(most)
        except ReconcileError:
            continue
        picture = thumbnails.picture(path, data)
        if picture is not None and len(picture) <= room:
            made[name] = picture
            room -= len(picture)
    return made


def _subjects(
    project: OpenProject, survey: Survey, characters: Sequence[CharacterState]
) -> Iterator[tuple[str, str, int, Callable[[int], bytes]]]:
    """Yields the source of each picture: its name on the page, the file name that says what kind it is, its size, and
    a function that reads as many of its first bytes as it is given."""
    for each in survey.conflicts:
        if each.local is not None and each.remote is not None and not each.remote.encoding:
            path = each.local.path
            yield each.key, path, each.local.size, partial(_of_file, project, path)
            yield project.bucket.uri(each.key), path, each.remote.size, partial(_of_object, project, each.remote)
    for change in (change for each in characters for change in each.changes if isinstance(change, Upload | Replace)):
        its_path = project.asset_map.path_for(change.key, survey.known_ids)
        if its_path is not None:
            yield change.key, its_path, change.size, partial(_of_file, project, its_path)


def _of_file(project: OpenProject, path: str, most: int) -> bytes:
    """Reads a file as an upload would: one that the walk finds, and never through a link."""
    with project.files.open(path) as body:
        return body.read(most)


def _of_object(project: OpenProject, found: RemoteObject, most: int) -> bytes:
    data = bytearray()
    for chunk in project.objects.read(found.key, generation=found.generation):
        data += chunk
        if len(data) > most:
            break
    return bytes(data[:most])
