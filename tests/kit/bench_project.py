"""A project folder whose bucket is a server, or the embedded one, and whose records are embedded; the program is run
in it as a process, with or without a terminal, and can be killed or interrupted at a moment that the test names."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from crc32c import crc32c

from reconcile import Project
from reconcile.adapters.embedded.objects import EmbeddedObjectStore
from reconcile.config.environment import RULES
from reconcile.config.settings import load, template
from reconcile.core.digest import encode_crc32c
from reconcile.core.media import content_type
from reconcile.core.report import Status
from reconcile.pipeline.executor import execute
from reconcile.pipeline.planner import survey
from reconcile.ports import DesiredObject
from reconcile.project import OpenProject
from reconcile.run_options import RunOptions
from tests.kit.embedded import EmbeddedRecords
from tests.kit.workshop import Run, environment, reconcile
from tests.servers.faults import FOREVER, Fault
from tests.servers.gcs import GcsServer

OLD = 1_700_000_000
BUCKET = "my-bucket"
PREFIX = "anime_dance"
WINDOWS_ROOT = "C:\\oo\\bar\\output"
_AT_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
SOON = 30.0
"""Seconds after which a test gives up waiting."""


class Bench:
    """The folder. The bucket is at ``server``, or at ``url``, or else the embedded one."""

    def __init__(self, folder: Path, server: GcsServer | None = None, *, url: str = "file:stores") -> None:
        self.folder = folder
        self.root = folder / "output"
        self.server = server
        if server is not None:
            url = server.url
            server.world.make_bucket(BUCKET)
        (folder / "rules").mkdir(parents=True)
        self.root.mkdir()
        text = re.sub(r'(?m)^endpoint = ""', f'endpoint = "{url}"', template(), count=1)
        text = text.replace("settle = 2.0", "settle = 0").replace('index = "asset_types"', 'index = ""')
        self.rules = folder / RULES
        self.rules.write_text(re.sub(r'(?m)^endpoint = ""', 'endpoint = "file:stores"', text), encoding="utf-8")

    # -- furnishing --

    def file(self, path: str, data: bytes, *, at: float = OLD) -> Path:
        """A local file, modified at ``at``."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        os.utime(file, (at, at))
        return file

    def object(self, key: str, data: bytes) -> None:
        """Somebody else's object, whatever was there."""
        if self.server is not None:
            self.server.world.insert(BUCKET, f"{PREFIX}/{key}", data, {"contentType": content_type(key)})
            return
        store = self._embedded()
        found = store.get(key)
        store.put(
            DesiredObject(
                key, len(data), encode_crc32c(crc32c(data)), content_type(key), found.generation if found else 0
            ),
            io.BytesIO(data),
        )
        store.close()

    def record(self, char_id: str, **fields: str) -> None:
        """Somebody else's record, with one entry, whatever was there."""
        store = self._records()
        store.put(char_id, {"name": char_id.title(), "assets": [{"title": "primary", **fields}]})
        store.close()

    def windows(self, key: str) -> str:
        """How an old record spells the local path of a key."""
        return f"{WINDOWS_ROOT}\\{key}".replace("/", "\\")

    # -- asking --

    def uri(self, key: str) -> str:
        """The URI of a key."""
        return f"gs://{BUCKET}/{PREFIX}/{key}"

    def held(self) -> dict[str, bytes]:
        """The bytes of every object, by key."""
        if self.server is not None:
            objects = self.server.world.objects(BUCKET)
            return {name.removeprefix(f"{PREFIX}/"): stored.data for name, stored in objects.items()}
        store = self._embedded()
        try:
            return {each.key: b"".join(store.read(each.key)) for each in store.list()}
        finally:
            store.close()

    def fields(self, char_id: str) -> dict[str, Any]:
        """The first entry of a record."""
        store = self._records()
        try:
            found = store.fields(char_id)
        finally:
            store.close()
        assert found is not None
        entry: dict[str, Any] = found["assets"][0]
        return entry

    def _embedded(self) -> EmbeddedObjectStore:
        return EmbeddedObjectStore.open(self.folder / "stores" / BUCKET, PREFIX)

    def _records(self) -> EmbeddedRecords:
        return EmbeddedRecords.open(self.folder / "stores" / "my-project" / "(default)", "characters")

    # -- running --

    def open(self, options: RunOptions | None = None) -> OpenProject:
        """The project as a process opens it, in this process."""
        return Project(load(self.folder, environ={})).opened(options)

    def run(self, *arguments: str, **extra: str) -> Run:
        """Runs ``reconcile ARGUMENTS`` in the folder, with nobody at the terminal."""
        return reconcile(self.folder, *arguments, **extra)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """Starts it and does not wait."""
        return subprocess.Popen(command(*arguments), cwd=self.folder, env=environment(), **options)


class Held:
    """Requests that the server has taken and does not answer until it is told to; ``which`` are a fault's fields."""

    def __init__(self, server: GcsServer, **which: Any) -> None:
        self._server = server
        self._arrived = threading.Semaphore(0)
        self._release = threading.Event()
        server.script.add(Fault(run=self._hold, **{"times": FOREVER, **which}))

    def _hold(self) -> None:
        self._arrived.release()
        assert self._release.wait(SOON)

    def wait(self, count: int) -> None:
        """Until so many more have come."""
        for _ in range(count):
            assert self._arrived.acquire(timeout=SOON)

    def release(self) -> None:
        self._release.set()


class AtTerminal:
    """A command whose stdin, stdout and stderr are a terminal of its own; what it writes is kept as it comes."""

    def __init__(self, arguments: list[str], cwd: Path, *, stdout: int | None = None) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _AT_TERMINAL, *arguments],
            cwd=cwd,
            env={**environment(), "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs if stdout is None else stdout,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = b""
        self._grew = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while chunk := os.read(self._ours, 65536):
                with self._grew:
                    self.seen += chunk
                    self._grew.notify_all()
        except OSError:
            pass  # Linux says so when the other end is closed

    def until(self, text: bytes) -> float:
        """Waits until the text was written; the seconds that took."""
        started = time.monotonic()
        with self._grew:
            found = self._grew.wait_for(lambda: text in self.seen, SOON)
        assert found, f"{text!r} was not written, but {self.seen!r}"
        return time.monotonic() - started

    @property
    def text(self) -> str:
        """What was written, without colours and the moves of the cursor."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen.decode())

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def press_ctrl_c(self) -> None:
        """As a person does: the terminal makes the signal of it."""
        os.write(self._ours, b"\x03")

    def press_until_it_ends(self) -> float:
        """Presses Ctrl-C, and again after a second, as a person does; the seconds until the process is gone."""
        started = time.monotonic()
        while self.process.poll() is None:
            self.press_ctrl_c()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(1.0)
        return time.monotonic() - started

    def wait(self) -> int:
        """The exit code, once all that was written is read."""
        code = self.process.wait(SOON)
        self._reader.join(SOON)
        os.close(self._ours)
        return code


def command(*arguments: str) -> list[str]:
    """The program's command line."""
    return [sys.executable, "-m", "reconcile", *arguments]


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL, and the end of the process."""
    process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    process.wait(SOON)


def settled(bench: Bench, expected: Mapping[str, bytes]) -> None:
    """A quiet run makes the bucket hold just these, and the one after has nothing to do."""
    with bench.open() as project:
        assert execute(project, survey(project).plan).status is Status.SUCCESS
    assert bench.held() == dict(expected)
    with bench.open() as project:
        assert survey(project).plan.actions == ()
