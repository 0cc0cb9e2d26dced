"""A folder of local files for tests: written by name, walked, and remembered in a dictionary."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

import crc32c
import pytest

from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.store import LocalFiles
from reconcile.core.digest import encode_crc32c
from reconcile.core.rows import FileProblem, Hashed, LocalFile
from tests.kit.windows import FakeCalls, Handles, on_each_system  # noqa: F401

posix = pytest.mark.posix("POSIX names, links and modes")

SECOND = 10**9

HOUR = 3600 * SECOND

IGNORE = ("*.tmp", "*.part", ".DS_Store", "Thumbs.db", "desktop.ini")

HOSTILE = (
    "[kpop]_x.mp4", ":star:.png", "new\nline.png", "tab\t.png", "\u202egnp.exe", "a" * 255, "é" * 127, "レム.mp4",
    "😀.png", "%2e%2e.png", "a b  c.png", " lead", "trail ", "#?&=.png", "-rf", "~", "$HOME", "*", "back\\slash.png",
    "'\"`.png", "\x7f.png", "\ue000", "...", "..a", "a.", "con", "\u2028", "ａ.png",
)  # fmt: skip

HOSTILE_EVERYWHERE = ("[kpop]_x.mp4", "a b  c.png", "レム.mp4", "😀.png", "%2e%2e.png")

NAMES = [
    name if name in HOSTILE_EVERYWHERE else pytest.param(name, marks=pytest.mark.posix("Windows has no such name"))
    for name in HOSTILE
    if not name.startswith(".")
]


class Cache(dict[str, Hashed]):
    """A hash cache in memory."""

    def get(self, path: str) -> Hashed | None:  # type: ignore[override]
        return super().get(path)

    def put(self, path: str, found: Hashed) -> None:
        self[path] = found

    def drop(self, path: str) -> None:
        self.pop(path, None)


def an_hour_on() -> int:
    """A clock at which every file of a test is old."""
    return time.time_ns() + HOUR


class Tree:
    """A root with files in it, and the source that reads it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = Cache()
        self.root.mkdir(exist_ok=True)

    def put(self, path: str, body: bytes | None = None) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode() if body is None else body)
        return file

    def source(
        self,
        *,
        looks: FirstLooks | None = None,
        clock: Callable[[], int] = an_hour_on,
        on_progress: Callable[[int], None] | None = None,
        settled: Collection[str] = (),
        holds_incomplete: bool = True,
    ) -> LocalFiles:
        return LocalFiles(
            self.root,
            ignore=IGNORE,
            looks=looks or FirstLooks(0),
            cache=self.cache,
            clock=clock,
            on_progress=on_progress,
            settled=settled,
            holds_incomplete=holds_incomplete,
        )

    def walk(self, *prefixes: str) -> list[LocalFile]:
        return list(self.source().walk(prefixes or ("",)))

    def paths(self, *prefixes: str) -> list[str]:
        return [file.path for file in self.walk(*prefixes)]

    def problems(self) -> dict[str, FileProblem | None]:
        return {file.path: file.problem for file in self.walk()}


def crc(body: bytes) -> str:
    return encode_crc32c(crc32c.crc32c(body))


def put(root: Path, name: str, body: bytes = b"body") -> Path:
    file = root / name
    file.write_bytes(body)
    os.utime(file, (1_700_000_000, 1_700_000_000))
    return file
