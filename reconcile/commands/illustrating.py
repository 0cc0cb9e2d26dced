"""Small pictures of what a page shows: both sides of conflicts first, then new and changed files, as far as there is
time and room for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from reconcile.adapters.thumbnails import Thumbnails
from reconcile.commands.report import CharacterState
from reconcile.core.changes import Replace, Upload
from reconcile.core.errors import ReconcileError
from reconcile.core.rows import RemoteObject
from reconcile.pipeline.planner import Survey
from reconcile.project import OpenProject

MOST = 200
"""Pictures on a page."""
ROOM = 256 << 10
"""Bytes that they take together."""
SECONDS = 20.0
"""How long making them may take; a page waits no longer for its pictures."""


class Subject(NamedTuple):
    """The source of a picture: its name on the page, the file name that says what kind it is, its size, and how its
    bytes are read."""

    name: str
    path: str
    size: int
    read: Callable[[int], bytes]


def pictures(
    project: OpenProject, survey: Survey, characters: Sequence[CharacterState], thumbnails: Thumbnails
) -> Mapping[str, str]:
    """The pictures as ``data:`` URIs: of local files by their key, of objects by their URI. What cannot be read, or is
    no picture after all, has none."""
    made: dict[str, str] = {}
    room, end = ROOM, time.monotonic() + SECONDS
    for subject in _subjects(project, survey, characters):
        if len(made) == MOST or time.monotonic() > end:
            break
        most = thumbnails.most(subject.path)
        if subject.name in made or not 0 < subject.size <= most:
            continue
        try:
            data = subject.read(most)
        except ReconcileError:
            continue
        picture = thumbnails.picture(subject.path, data)
        if picture is not None and len(picture) <= room:
            made[subject.name] = picture
            room -= len(picture)
    return made


def _subjects(project: OpenProject, survey: Survey, characters: Sequence[CharacterState]) -> Iterator[Subject]:
    for each in survey.conflicts:
        if each.local is not None and each.remote is not None and not each.remote.encoding:
            yield Subject(each.key, each.local.path, each.local.size, _of_file(project, each.local.path))
            uri = project.bucket.uri(each.key)
            yield Subject(uri, each.local.path, each.remote.size, _of_object(project, each.remote))
    for character in characters:
        for change in character.changes:
            if isinstance(change, Upload | Replace):
                path = project.asset_map.path_for(change.key, survey.known_ids)
                if path is not None:
                    yield Subject(change.key, path, change.size, _of_file(project, path))


def _of_file(project: OpenProject, path: str) -> Callable[[int], bytes]:
    """Reads a file as an upload would: one that the walk takes, and never through a link."""

    def read(most: int) -> bytes:
        with project.files.open(path) as body:
            return body.read(most)

    return read


def _of_object(project: OpenProject, found: RemoteObject) -> Callable[[int], bytes]:
    def read(most: int) -> bytes:
        data = bytearray()
        for chunk in project.objects.read(found.key, generation=found.generation):
            data += chunk
            if len(data) > most:
                break
        return bytes(data[:most])

    return read
