"""Finds names that cannot all be files of one folder: equal names, or a file named like another file's folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable


class Places:
    """The paths that have a place so far. ``form`` maps paths that a folder could confuse to the same text."""

    def __init__(self, form: Callable[[str], str]) -> None:
        self._form = form
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def take(self, path: str) -> str | None:
        """Gives the path its place, or returns the path that blocks it and changes nothing."""
        name = self._form(path)
        folders = list(itertools.accumulate(name.split("/")[:-1], "{}/{}".format))
        rival = self._files.get(name) or self._folders.get(name)
        rival = rival or next((self._files[folder] for folder in folders if folder in self._files), None)
        if rival is None:
            self._files[name] = path
            for folder in folders:
                self._folders.setdefault(folder, path)
        return rival
