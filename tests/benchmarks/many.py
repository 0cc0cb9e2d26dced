"""CPU seconds and memory of a plan of many assets, whose listings are made as they are read:
``python -m tests.benchmarks.many 1000000 --drift 0.02 --memory 64M``. With ``--migration`` every record holds paths;
with ``--no-index`` no record has an index, and none is to have one; with ``--beam`` Beam's local runner plans, and with
``--along`` no worker holds all ids.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from reconcile.core.media import content_type
from reconcile.core.plan import Plan
from reconcile.core.rows import Agreed, Document, LocalFile, RemoteObject
from reconcile.core.size import parse_size
from reconcile.pipeline.planner import survey
from tests.benchmarks.assets import BUCKET, FIELDS, INDEX, PREFIX, WINDOWS_ROOT
from tests.kit import worlds
from tests.kit.world import World

SUM = "AAAAAA=="
FOLDERS = [sorted(path for path in FIELDS if path.startswith(each)) for each in ("characters", "dances", "remixes")]


class _Many:
    """One of the worlds, with ten assets for each character; all else of it is the ``inner`` one's."""

    def __init__(self, inner: Any, options: argparse.Namespace) -> None:
        self._inner = inner
        self._characters = range(options.assets // len(FIELDS))
        self._every = round(1 / options.drift) if options.drift else 0
        self._migration = options.migration
        self._index = {} if options.no_index or options.migration else {worlds.INDEX: INDEX}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _keys(self) -> Iterator[tuple[int, str, str]]:
        """Each key in order, behind the number of its character and its template."""
        for templates in FOLDERS:
            for number in self._characters:
                yield from ((number, each, each.format(f"char_{number:07}")) for each in templates)

    def _is_drifted(self, number: int, template: str) -> bool:
        return bool(self._every) and (number * len(FIELDS) + len(template)) % self._every == 0

    def names(self, prefixes: tuple[str, ...] = ("",)) -> Iterator[str]:
        return (key for _, _, key in self._keys() if key.startswith(prefixes))

    def walk(self, prefixes: tuple[str, ...] = ("",)) -> Iterator[LocalFile]:
        return (LocalFile(key, 1000, 1, SUM) for _, _, key in self._keys())

    def list(self, prefix: str = "", splits: tuple[str, ...] = ()) -> Iterator[RemoteObject]:
        there = (key for number, template, key in self._keys() if not self._is_drifted(number, template))
        return (RemoteObject(key, 1000, 1, SUM, content_type(key)) for key in there)

    def between(self, first: str, stop: str, prefix: str = "") -> Iterator[RemoteObject]:
        return (each for each in self.list(prefix) if each.key >= first and (not stop or each.key < stop))

    def ids(self, prefix: str = "", *, at: object = None) -> Iterator[str]:
        return (f"char_{number:07}" for number in self._characters)

    def of(self, key: str) -> Agreed:
        return Agreed(key, 1000, SUM, 1)

    def cuts(self, size: int) -> list[str]:
        return []

    def all(self) -> Iterator[Agreed]:
        return (Agreed(key, 1000, SUM, 1) for _, _, key in self._keys())

    def read(self, ids: object = None, *, at: object = None) -> Iterator[Document]:
        for number in self._characters:
            char_id, entries = f"char_{number:07}", dict[str, dict[str, str]]()
            for template, (title, field) in FIELDS.items():
                key = template.format(char_id)
                stays = self._migration or self._is_drifted(number, template + "x")
                path = WINDOWS_ROOT + key.replace("/", "\\") if stays else f"gs://{BUCKET}/{PREFIX}/{key}"
                entries.setdefault(title, {"title": title})[field] = path
            yield Document(
                char_id,
                {"name": char_id, "assets": list(entries.values()), **self._index},
                "2026-01-01T00:00:00.000000Z",
            )


class _ManyAgreed(World):
    many: Any = None

    @property
    def agreed(self) -> Any:
        return self.many


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("assets", type=int)
    parser.add_argument("--drift", type=float, default=0.0)
    parser.add_argument("--migration", action="store_true")
    parser.add_argument("--memory", type=parse_size)
    parser.add_argument("--no-cache", action="store_true")
    parser.add_argument("--no-index", action="store_true")
    parser.add_argument("--beam", action="store_true")
    parser.add_argument("--along", action="store_true")
    options = parser.parse_args()
    with _ManyAgreed(index="" if options.no_index else worlds.INDEX) as world:
        world.many = _Many(world.memory, options)
        world.files = _Many(world.files, options)  # type: ignore[assignment]
        world.objects = _Many(world.objects, options)  # type: ignore[assignment]
        world.records = _Many(world.records, options)  # type: ignore[assignment]
        world.options = msgspec.structs.replace(world.options, cache=not options.no_cache)
        if options.memory is not None:
            world.options = msgspec.structs.replace(world.options, memory=options.memory)
        started = time.process_time()
        made = _on_beam(world, along=options.along) if options.beam else survey(world, tallied=False).plan
        summary = made.summary
        took = time.process_time() - started
    peak = ""
    if sys.platform != "win32":
        import resource

        unit = 2**20 if sys.platform == "darwin" else 2**10
        peak = f", peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit} MiB"
    sys.stdout.write(f"{options.assets} assets: {took:.2f} s of CPU{peak}; {summary}\n")


def _on_beam(world: World, *, along: bool) -> Plan:
    from tests.kit.on_beam import AT_HAND, planned  # an environment of its own has Beam

    with tempfile.TemporaryDirectory() as folder:
        return planned(world, Path(folder), Random(1), at_hand=0 if along else AT_HAND, parts=[("", "")])


if __name__ == "__main__":
    main()
