"""The real process, killed with SIGKILL at moments that a seed draws, again and again on one world until it converges.

A moment is a number of seconds after the start, or the n-th request to the bucket: then the process dies while the
server has the request in its hands, and the request is served all the same, or lost.

    .venv/bin/python -m tests.faults.kills --seed 7 --kills 20
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from tests.faults.crashes import Fields, Held, uris
from tests.kit.studio import LOCAL_DB, Studio, build_studio
from tests.kit.workshop import Workshop, environment, furnish, open_workshop
from tests.servers import firestore_emulator
from tests.servers.faults import Call, Fault
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

PATIENCE = 120.0
SIGKILLED = 1 if os.name == "nt" else -9
PACE = 0.2
"""Seconds that a request to the bucket then takes."""
REPLAY = ".venv/bin/python -m tests.faults.kills --seed {} --kills {}"


class Killed(msgspec.Struct, frozen=True):
    """What one world went through: the ``kills`` that hit a process at work, how many of those runs had written
    something, and what was wrong."""

    seed: int
    kills: int
    wrote: int
    problems: tuple[str, ...]
    seconds: float


class Site:
    """Two equal worlds on the same servers: one is left in peace, and says what the other must come to."""

    def __init__(self, folder: Path, gcs: GcsServer, firestore: str, seed: int) -> None:
        self.gcs = gcs
        self.shop, self.studio = self._furnished(folder / "killed", firestore, seed)
        twin, _ = self._furnished(folder / "twin", firestore, seed)
        began = time.monotonic()
        peaceful = twin.run("apply", "--yes", "--json", timeout=PATIENCE)
        self.duration = time.monotonic() - began
        assert peaceful.code == 0, peaceful.err
        self.expected = world(twin)

    def _furnished(self, folder: Path, firestore: str, seed: int) -> tuple[Workshop, Studio]:
        shop = open_workshop(folder, self.gcs, firestore, index="asset_types")
        rules = folder / "rules" / "asset_map.toml"
        rules.write_text(rules.read_text("utf-8").replace("# rewrite = false", "rewrite = true"), encoding="utf-8")
        studio = build_studio(folder, seed=seed, scale=0.1, bucket_uri=shop.uri("").rstrip("/"))
        furnish(shop, studio)
        return shop, studio

    def kill(self, dice: Random) -> bool:
        """Starts an apply and kills it at a moment of the dice's choice; whether it was still at work."""
        process = subprocess.Popen(
            [sys.executable, "-m", "reconcile", "apply", "--yes", "--quiet"],
            cwd=self.shop.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if dice.random() < 0.7:
                self._kill_at_request(process, dice)
            else:
                self._kill_after(process, dice.uniform(0.2, 1.0) * self.duration)
        finally:
            process.kill()
            process.wait(PATIENCE)
            self.gcs.script.clear()
        return process.returncode == SIGKILLED

    def _kill_at_request(self, process: subprocess.Popen[bytes], dice: Random) -> None:
        number, lost = dice.randrange(16), dice.random() < 0.5
        counted = threading.Lock()
        seen = 0

        def hit(call: Call) -> bool:
            nonlocal seen
            if f"/b/{self.shop.bucket}/" not in call.path:
                return False
            with counted:
                seen += 1
            if seen > number:
                process.kill()
                return lost
            return False

        self.gcs.script.add(Fault(when=hit, times=1 << 30, reset=True))
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"an apply took longer than {PATIENCE:g} s") from None

    def _kill_after(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        # A slow bucket, so that the moment finds the process at work.
        over = threading.Event()
        slow = Fault(path=f"/b/{self.shop.bucket}/", times=1 << 30, run=lambda: _wait(over))
        self.gcs.script.add(slow)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        over.set()

    def dangling(self) -> Iterator[str]:
        """Each URI of a record that leads to nothing, or to other bytes than the file's, though this tool wrote it."""
        ours, known = self.shop.uri(""), self.studio.records
        records = {name: fields for name, (fields, _) in self.shop.records().items()}
        held = {key: stored.data for key, stored in self.shop.objects().items()}
        for name, fields in records.items():
            before = set(uris(known.get(name), ours))
            for text in uris(fields, ours):
                key = text.removeprefix(ours)
                if text in before:
                    continue
                file = self.studio.files.get(key)
                meant = self.studio.objects.get(key) if file is None else file.read_bytes()
                if meant is None or held.get(key) != meant:
                    yield f"{name}: {text}"

    def finish(self) -> Iterator[str]:
        """Runs to the end; what is then other than in the world that was left in peace, and whether one more run has
        anything to do."""
        last = self.shop.run("apply", "--yes", "--json", timeout=PATIENCE)
        if last.code:
            yield f"the last run ended with {last.code}: {last.err or last.out[:2000]}"
        names = ("objects", "records", "local database")
        for what, found, meant in zip(names, world(self.shop), self.expected, strict=True):
            if found != meant:
                yield f"{what}: not as after an uninterrupted run: {_difference(found, meant)}"
        before = versions(self.shop)
        again = self.shop.run("apply", "--yes", "--json", timeout=PATIENCE)
        if again.document["outcomes"] or versions(self.shop) != before:
            yield f"one more run had something to do: {again.out[:2000]}"
        told = self.shop.run("history", "--json", timeout=PATIENCE)
        if told.code:
            yield f"the history cannot be read: {told.out}"


def world(shop: Workshop) -> tuple[Held, Fields, str]:
    """What must be the same in the end, whatever happened on the way, and wherever the bucket is."""
    ours = shop.uri("")
    records: Fields = {name: fields for name, (fields, _) in shop.records().items()}
    return (
        {key: stored.data for key, stored in shop.objects().items()},
        json.loads(json.dumps(records).replace(ours, "")),
        (shop.folder / LOCAL_DB).read_text("utf-8").replace(ours, ""),
    )


def versions(shop: Workshop) -> tuple[Any, ...]:
    """What moves with every write."""
    objects = {key: stored.generation for key, stored in shop.objects().items()}
    times = {name: time for name, (_, time) in shop.records().items()}
    return objects, times, (shop.folder / LOCAL_DB).stat().st_mtime_ns


def run_kills(folder: Path, gcs: GcsServer, firestore: str, *, seed: int, kills: int) -> Killed:
    """Kills so many runs on one world, then lets one come to its end."""
    began = time.monotonic()
    dice = Random(seed)
    site = Site(folder, gcs, firestore, seed)
    problems: list[str] = []
    hits, wrote, before = 0, 0, versions(site.shop)
    for number in range(kills):
        hits += site.kill(dice)
        problems += [f"after kill {number}: a record names what is not there: {each}" for each in site.dangling()]
        now = versions(site.shop)
        wrote += now != before
        before = now
    problems += site.finish()
    return Killed(seed, hits, wrote, tuple(problems), time.monotonic() - began)


def _wait(over: threading.Event) -> None:
    over.wait(PACE)


def _difference(found: Any, meant: Any) -> str:
    if isinstance(found, dict) and isinstance(meant, dict):
        keys = sorted(key for key in found.keys() | meant.keys() if found.get(key) != meant.get(key))
        return f"{len(keys)} of {len(meant)}: {keys[:5]}"
    return f"{str(found)[:500]!r}"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reconcile-kills-")))
        gcs = stack.enter_context(GcsServer())
        result = run_kills(folder, gcs, database(stack, folder), seed=options.seed, kills=options.kills)
    sys.stdout.write(f"{result.kills} kills, {result.wrote} of them after a write, {result.seconds:.1f} s\n")
    sys.stdout.write("".join(f"  {problem}\n" for problem in result.problems))
    return int(bool(result.problems))


def database(stack: ExitStack, folder: Path) -> str:
    """The address of the official emulator, or where that is missing, of the server in this process."""
    if firestore_emulator.missing() is None:
        return stack.enter_context(firestore_emulator.lease(folder))
    server = FirestoreServer().start()
    stack.callback(server.stop)
    return server.address


if __name__ == "__main__":
    sys.exit(main())
