"""A day of a watcher, for tests: a real folder, embedded stores, and a clock on which hours pass in no time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reconcile import Project
from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.watching import FolderWatch
from reconcile.commands.demo_media import png
from reconcile.commands.watch import Watcher, WatchOptions
from reconcile.config.settings import Settings
from reconcile.core.changes import Finding
from reconcile.core.plan import Scope
from reconcile.core.watch_report import EventKind, WatchEvent
from reconcile.core.watching import Look, Seen
from reconcile.project import OpenProject
from reconcile.run_options import RunOptions
from tests.kit.small_project import open_objects, open_records, write
from tests.kit.windows import on_each_system  # noqa: F401

IMAGE = png(1)

Act = Callable[[], Seen | None]
"""What happens, and what the watcher sees of it."""


class Day:
    """A watcher's time and folder: what happens at which second, and where it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.acts: list[tuple[float, Act]] = []
        self.events: list[tuple[float, WatchEvent]] = []
        self.stop = threading.Event()
        self.opened = 0
        self.open_now = 0
        self.waits = 0
        self.broken: Callable[[OpenProject], None] = lambda _project: None

    def at(self, when: float, act: Act) -> None:
        """Something happens in the folder; what it gives is what the watcher sees."""
        self.acts.append((when, act))

    def writes(self, when: float, *paths: str, data: bytes = IMAGE) -> None:
        """A workflow writes files, which are seen."""

        def act() -> Seen:
            for path in paths:
                write(self.folder, path, data)
            return Seen(paths)

        self.at(when, act)

    def run(self, until: float, *, scope: Scope | None = None, **options: Any) -> tuple[Finding, ...]:
        """The watcher, from 0 to then; what it was to fail on and remains."""

        def end() -> None:
            self.stop.set()

        self.at(until, end)
        self.acts.sort(key=lambda pair: pair[0])
        return Watcher(
            Project.open(self.folder),
            WatchOptions(scope=scope or Scope(), **options),
            reopen=self.reopen,
            listener=lambda event: self.events.append((self.now, event)),
            stop=self.stop,
            clock=lambda: self.now,
            folder=lambda settings, _poll: Folder(self, settings),
            jitter=lambda: 1.0,
        ).run()

    def reopen(self) -> Project:
        return Counted(Project.open(self.folder).settings, self)

    def told(self, *kinds: EventKind) -> list[tuple[float, str]]:
        """When what was said."""
        return [(when, event.message) for when, event in self.events if not kinds or event.event in kinds]

    def of(self, kind: EventKind) -> list[WatchEvent]:
        return [event for _, event in self.events if event.event is kind]


class Counted(Project, frozen=True):
    """A project that counts how often it is opened, and may be broken then."""

    day: Day

    @contextmanager
    def opened(self, options: RunOptions | None = None) -> Iterator[OpenProject]:  # type: ignore[override]
        with Project.opened(self, options) as project:
            self.day.opened += 1
            self.day.open_now += 1
            try:
                self.day.broken(project)
                yield project
            finally:
                self.day.open_now -= 1


class Folder:
    """The real folder, but for waiting: that passes the day's time."""

    def __init__(self, day: Day, settings: Settings) -> None:
        self._day = day
        self._files = FolderWatch(settings.root, ignore=settings.ignore)

    def wait(self, seconds: float, stop: threading.Event) -> Seen:
        day = self._day
        day.waits += 1
        assert day.waits < 200_000, "it spins"
        assert day.open_now == 0, "a project is held open while nothing is done"
        if day.acts and day.acts[0][0] <= day.now + seconds:
            when, act = day.acts.pop(0)
            day.now = max(day.now, when)
            return act() or Seen()
        day.now += seconds
        return Seen()

    def look(self, path: str) -> Look | None:
        return self._files.look(path)

    def below(self, path: str) -> Iterable[str]:
        return self._files.below(path)

    def missing_end(self, path: str) -> str | None:
        return self._files.missing_end(path) if path.startswith("characters/") else None

    def close(self) -> None:
        self._files.close()


def know(folder: Path) -> None:
    """An earlier run has looked at the files that are there."""
    with Project.open(folder).opened(RunOptions(looks=FirstLooks(0))) as project:
        assert len(list(project.files.walk())) >= 3


def keys(day: Day) -> set[str]:
    objects = open_objects(day.folder)
    try:
        return {found.key for found in objects.list()}
    finally:
        objects.close()


def entry(day: Day, char_id: str) -> dict[str, Any]:
    records = open_records(day.folder)
    try:
        fields = records.fields(char_id)
        assert fields is not None
        found: dict[str, Any] = fields["assets"][0]
        return found
    finally:
        records.close()
