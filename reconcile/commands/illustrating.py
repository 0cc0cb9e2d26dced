"""Makes the small pictures of a page: both sides of conflicts first, then new and changed files, within a limit of time
and room."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from reconcile.adapters.thumbnails import Thumbnails
from reconcile.commands.report import CharacterState
from reconcile.core.changes import Replace, Upload
from reconcile.core.errors import ReconcileError
from reconcile.core.rows import RemoteObject
from reconcile.pipeline.survey import Survey
from reconcile.project import OpenProject

MOST = 200
"""The most pictures on a page."""
ROOM = 256 << 10
"""The most bytes that they take together."""
SECONDS = 20.0
"""Seconds after which no further picture is begun."""


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
    """Returns the pictures as ``data:`` URIs: those of local files by key, those of objects by URI. What cannot be
    read, or turns out not to be a picture, has none."""
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
            yield Subject(each.key, each.local.path, each.local.size, partial(_of_file, project, each.local.path))
            uri = project.bucket.uri(each.key)
            yield Subject(uri, each.local.path, each.remote.size, partial(_of_object, project, each.remote))
    for character in characters:
        for change in character.changes:
            if isinstance(change, Upload | Replace):
                path = project.asset_map.path_for(change.key, survey.known_ids)
                if path is not None:
                    yield Subject(change.key, path, change.size, partial(_of_file, project, path))


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
