"""Names that cannot all be files of one folder: two of one name, or one that is a file and the other's folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable


class Places:
    """The paths that have a place so far. ``form`` gives two paths one spelling if a folder could take them for one."""

    def __init__(self, form: Callable[[str], str]) -> None:
        self._form = form
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def take(self, path: str) -> str | None:
        """Gives the path its place, or returns the path that is in its way, and then takes nothing."""
        name = self._form(path)
        folders = list(itertools.accumulate(name.split("/")[:-1], "{}/{}".format))
        rival = self._files.get(name) or self._folders.get(name)
        rival = rival or next((self._files[folder] for folder in folders if folder in self._files), None)
        if rival is None:
            self._files[name] = path
            for folder in folders:
                self._folders.setdefault(folder, path)
        return rival


def in_turn(paths: Iterable[str], form: Callable[[str], str]) -> list[bool]:
    """For each path whether nothing before it could stand in its way."""
    places = Places(form)
    return [places.take(path) is None for path in paths]
