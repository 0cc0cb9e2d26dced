"""Writes the files that a command makes for its user: whole or not at all, and never over something else."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from reconcile.adapters.files import SHARED, beside, move_to_free, remove, replace
from reconcile.adapters.state.folder import FOLDER
from reconcile.config.environment import RULES, absolute
from reconcile.config.settings import Settings
from reconcile.core.errors import UsageError

STDOUT = Path("-")
_HEAD = 4096
_ELSEWHERE = "name a place somewhere else"
_ANOTHER = "name another file with --out"


class OutputKind(NamedTuple):
    """A kind of file that a command writes, and how such files begin. It may replace an older file of its kind only."""

    name: str
    begins: re.Pattern[bytes]

    def is_at(self, path: str | Path) -> bool:
        """Whether the file there is of this kind. Raises OSError."""
        with open(path, "rb") as file:
            return self.begins.match(file.read(_HEAD)) is not None


PLAN = OutputKind("a saved plan", re.compile(rb'\s*\{\s*"format"\s*:\s*"reconcile\.plan/'))
CERTIFICATE = OutputKind("a certificate", re.compile(rb'\s*\{\s*"format"\s*:\s*"reconcile\.certificate/'))
PAGE = OutputKind("a page of reconcile", re.compile(rb"<!doctype html>.{0,2000}?<title>reconcile: ", re.DOTALL))
MARKDOWN = OutputKind("a report of reconcile in Markdown", re.compile(rb"## reconcile: "))


def check_target(out: Path, kind: OutputKind, settings: Settings) -> None:
    """Checks, before anything is read, that ``--out`` can and may be written. Raises UsageError."""
    check_place(out, settings)
    try:
        if not out.name or out.is_dir():
            raise UsageError(f"--out {str(out)!r} names no file", hint="name the file to write")
        if not out.parent.is_dir():
            raise UsageError(
                f"--out {str(out)!r}: there is no folder {str(out.parent)!r}", hint="make it, or name another"
            )
    except OSError as error:
        raise _unwritable(out, error) from error
    _check_is_ours(out, kind)


def check_place(out: Path, settings: Settings, option: str = "--out") -> None:
    """Checks that a file to write neither is nor is in anything that the project works with, whether or not that
    exists. Raises UsageError."""
    path = absolute(out)
    try:
        # The path itself, and where it leads if it is a link.
        ways = {Path(os.path.realpath(path)), Path(os.path.realpath(path.parent)) / path.name}
    except (OSError, ValueError) as error:
        raise UsageError(f"{option} {str(out)!r} cannot be looked at: {error}", hint=_ELSEWHERE) from error
    for place, what in _kept(settings):
        if any(_is_in(way, place) for way in ways):
            raise UsageError(f"{option} {str(out)!r} is refused: {what}", hint=_ELSEWHERE)


def write_whole(out: Path, data: bytes, kind: OutputKind, mode: int = SHARED) -> None:
    """Writes a new file next to its place and moves it there, so that a reader sees either the old or the new one.

    Raises UsageError if it cannot be written; the old file is then left as it was.
    """
    try:
        with beside(out, data, mode) as new:
            if os.path.lexists(out):
                _check_is_ours(out, kind)  # once more, because the work may have taken an hour
                replace(new, out)
            else:
                move_to_free(new, out)
    except OSError as error:
        raise _unwritable(out, error) from error


def write_new(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Writes new files into a folder, which is made if needed: either all of them, whole, or none.

    Raises UsageError.
    """
    paths = [folder / name for name in files]
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(
            f"--out {str(folder)!r} is not a folder, and the files are written into one",
            hint="name a folder with --out",
        )
    made: list[Path] = []
    folders: list[Path] = []
    try:
        with contextlib.ExitStack() as stack:
            for path in paths:
                if os.path.lexists(path):
                    raise FileExistsError(errno.EEXIST, "there is a file of that name already", str(path))
            folders = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
            folder.mkdir(parents=True, exist_ok=True)
            news = [stack.enter_context(beside(path, files[path.name], SHARED)) for path in paths]
            for new, path in zip(news, paths, strict=True):
                move_to_free(new, path)
                made.append(path)
    except BaseException as error:
        for path in made:
            with contextlib.suppress(OSError):
                remove(path)
        for each in folders:
            with contextlib.suppress(OSError):
                each.rmdir()
        if isinstance(error, OSError):
            raise _unwritable(Path(error.filename or folder), error, "name another folder with --out") from error
        raise
    return paths


# -- what may be written over --


def _check_is_ours(out: Path, kind: OutputKind) -> None:
    """Checks that the place is free or has an older file of this kind. Raises UsageError."""
    if not os.path.lexists(out):
        return
    try:
        if not out.is_file():
            # A new file would replace a device, a pipe, or a broken link.
            raise UsageError(f"--out {str(out)!r} is not an ordinary file", hint=f"{_ANOTHER}; `--out -` is stdout")
        is_ours = kind.is_at(out)
    except OSError as error:
        raise _unwritable(out, error) from error
    if not is_ours:
        raise UsageError(
            f"--out {str(out)!r}: there is a file of that name, and it is not {kind.name}; it was left as it is",
            hint=_ANOTHER,
        )


def _kept(settings: Settings) -> Iterator[tuple[Path, str]]:
    """Yields the places into which no command may write its result, and why."""
    yield settings.project / FOLDER, "the folder .reconcile holds the tool's own memory"
    yield settings.rules_path, "that is the rules file"
    yield settings.project / RULES, "that is the rules file"
    if settings.local_db is not None:
        yield settings.local_db.path, "that is the pipeline's own database"
    yield settings.root, f"it lies in the local root {str(settings.root)!r}, where the workflows' files are"
    for endpoint in (settings.bucket_endpoint, settings.records_endpoint):
        if endpoint.startswith("file:"):
            yield Path(endpoint.removeprefix("file:")), "a store is kept in that folder"


def _is_in(path: Path, place: Path) -> bool:
    """Whether a path is this place or is in it, even by way of a link, another case, or another mount."""
    there = Path(os.path.realpath(place))
    return any(_folded(each) == _folded(there) or _is_same(each, there) for each in (path, *path.parents))


def _folded(path: Path) -> str:
    text = os.path.normcase(path)
    return text.casefold() if sys.platform in ("win32", "darwin") else text


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _unwritable(out: Path, error: OSError, hint: str = _ANOTHER) -> UsageError:
    return UsageError(f"{str(out)!r} cannot be written: {error.strerror or error}", hint=hint)
