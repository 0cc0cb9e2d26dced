"""Workflow functions on a real project folder with embedded stores: what the tests of the hooks share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from reconcile import Project
from reconcile.core.notes import Note
from reconcile.hooks.errors import UPLOADING, HookOptions
from reconcile.hooks.wrapping import Wrapper
from tests.kit.small_project import open_objects, open_records

BASE = "gs://my-bucket/anime_dance"


class Studio:
    """Workflow functions that write below a project's root, and what is in its stores."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, path: str, data: bytes | None = None) -> str:
        file = self.folder / "output" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode() if data is None else data)
        return str(file)

    def objects(self) -> set[str]:
        store = open_objects(self.folder)
        try:
            return {found.key for found in store.list()}
        finally:
            store.close()

    def entry(self, char_id: str, title: str = "primary") -> dict[str, Any]:
        store = open_records(self.folder)
        try:
            entries = (store.fields(char_id) or {}).get("assets", [])
        finally:
            store.close()
        return next((entry for entry in entries if entry.get("title") == title), {})

    def notes(self) -> tuple[Note, ...]:
        with Project.open(self.folder).opened() as project:
            return project.noted

    def cut_off(self) -> None:
        """The bucket and the database cannot be reached: a file is where their folder was."""
        (self.folder / "stores").rename(self.folder / "away")
        (self.folder / "stores").write_text("no folder")

    def mend(self) -> None:
        (self.folder / "stores").unlink()
        (self.folder / "away").rename(self.folder / "stores")


def queueing(**more: float) -> Callable[..., Any]:
    """The decorator with on_error="queue" and waits of a test's length."""
    times = {"lock": 0.0, "silence": 30.0, "rest": 0.0, **more}
    return partial(Wrapper, options=HookOptions(UPLOADING, "queue", None, **times))


def about(work: Callable[[], Any]) -> Callable[..., Any]:
    """A workflow function for a character, which does the work."""

    def function(char_id: Any, *more: Any) -> Any:
        return work()

    return function


def upsert_nothing(char_id: str, asset: dict[str, Any]) -> None:
    """A pipeline's upsert that leaves its database alone."""
