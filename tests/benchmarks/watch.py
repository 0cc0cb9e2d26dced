"""Months of a watcher in minutes: what it holds in memory, open files and threads after thousands of passes.

``python -m tests.benchmarks.watch [PASSES] [embedded|servers]``. The files, the stores and every pass are real; only
the waiting between them is not. ``servers`` are a Cloud Storage and a Firestore in another process, reached by Google's
clients. Each pass takes one file that a workflow wrote again; every 20th meets a cloud that is away, every 50th watches
the folder anew, and every 100th looks at everything.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from reconcile import Project
from reconcile.adapters.local.watching import FolderWatch
from reconcile.commands.demo_media import png
from reconcile.commands.watch import Watcher, WatchOptions
from reconcile.config.environment import RULES
from reconcile.config.settings import Settings, template
from reconcile.core.errors import StoreUnavailable
from reconcile.core.watch_report import EventKind, WatchEvent
from reconcile.core.watching import Seen

CHARACTERS = 50
IMAGES = [png(seed) for seed in range(7)]


class Run:
    """The watcher's time, and what is counted on the way."""

    def __init__(self, folder: Path, passes: int) -> None:
        self.folder = folder
        self.passes = passes
        self.now = 0.0
        self.made = 0
        self.applied = 0
        self.away = False
        self.stop = threading.Event()
        self.samples: list[tuple[int, int, int, int]] = []

    def next(self) -> Seen:
        """A workflow writes a file; the first tenth of the passes warms up."""
        if self.made in {self.passes * tenth // 10 for tenth in range(1, 11)}:
            self.samples.append((self.made, *measured()))
        if self.made >= self.passes:
            self.stop.set()
            return Seen()
        self.made += 1
        self.away = self.made % 20 == 0
        path = f"characters/char_{self.made % CHARACTERS:03}.png"
        file = self.folder / "output" / path
        file.write_bytes(IMAGES[self.made % len(IMAGES)])
        os.utime(file, (1e9 + self.made, 1e9 + self.made))
        return Seen((path,))

    def listen(self, event: WatchEvent) -> None:
        """Counts what was done."""
        if event.event is EventKind.APPLIED and event.counts is not None:
            self.applied += event.counts.applied

    def reopen(self) -> Project:
        """The project for one pass. Raises StoreUnavailable now and then."""
        if self.away:
            self.away = False
            raise StoreUnavailable("the cloud is away")
        return Project.open(self.folder)


class Folder:
    """The real folder, watched for real; only waiting passes no time."""

    def __init__(self, run: Run, settings: Settings) -> None:
        self._run = run
        self._real = FolderWatch(settings.root, ignore=settings.ignore, clock=lambda: run.now)
        self._due = 0.0
        self.look: Callable[..., Any] = self._real.look
        self.below: Callable[..., Any] = self._real.below
        self.missing_end: Callable[..., Any] = self._real.missing_end

    def wait(self, seconds: float, stop: threading.Event) -> Seen:
        """What happens next."""
        run = self._run
        if run.now < self._due:
            run.now += seconds
            return Seen()
        self._due = run.now + 40.0
        if run.made % 50 == 0:
            self._real.close()
            self._real.wait(0.0, stop)
        return run.next()

    def close(self) -> None:
        """The end."""
        self._real.close()


def measured() -> tuple[int, int, int]:
    """Bytes in memory, open files, threads."""
    gc.collect()
    time.sleep(0.2)  # what the libraries close in threads of their own
    if not os.path.isdir("/proc/self"):
        return 0, 0, threading.active_count()
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


def serve(pipe: Connection) -> None:
    """The servers, until the other side closes the pipe."""
    from tests.servers.firestore import FirestoreServer
    from tests.servers.gcs import GcsServer

    with GcsServer() as gcs:
        gcs.world.make_bucket("my-bucket")
        firestore = FirestoreServer().start()
        pipe.send((gcs.url, firestore.address))
        pipe.poll(None)
        firestore.stop()


def build(folder: Path, bucket: str, records: str) -> None:
    """A project of some characters, each with a record."""
    rules = template().replace('endpoint = "" ', f'endpoint = "{bucket}" ', 1)
    rules = rules.replace('endpoint = "" ', f'endpoint = "{records}" ', 1)
    (folder / "rules").mkdir()
    (folder / "output" / "characters").mkdir(parents=True)
    (folder / RULES).write_text(rules, encoding="utf-8")
    with Project.open(folder).opened() as project:
        for number in range(CHARACTERS):
            project.records.create(f"char_{number:03}", {"name": str(number), "assets": [{"title": "primary"}]})


def watch(folder: Path, passes: int) -> Run:
    """The watcher, for so many passes."""
    run = Run(folder, passes)
    Watcher(
        Project.open(folder),
        WatchOptions(every=100 * 40.0),
        reopen=run.reopen,
        listener=run.listen,
        stop=run.stop,
        clock=lambda: run.now,
        folder=lambda settings, _poll: Folder(run, settings),
    ).run()
    return run


def main() -> None:
    """Prints what it holds after each tenth of the passes."""
    passes = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    stores = sys.argv[2] if len(sys.argv) > 2 else "embedded"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = None
        bucket = records = "file:stores"
        if stores == "servers":
            context = multiprocessing.get_context("spawn")
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(there,), daemon=True)
            process.start()
            bucket, records = here.recv()
        build(folder, bucket, records)
        started = time.perf_counter()
        run = watch(folder, passes)
        took = time.perf_counter() - started
        if process is not None:
            here.close()
            process.terminate()
    out = sys.stdout
    out.write(f"{passes} files in {took:.0f} s on {stores} stores, {run.applied} changes applied\n")
    out.write(f"{'files':>8} {'MiB':>8} {'open':>6} {'threads':>8}\n")
    for made, size, files, threads in run.samples:
        out.write(f"{made:>8} {size / 2**20:>8.1f} {files:>6} {threads:>8}\n")


if __name__ == "__main__":
    main()
