"""The long run of all that the tests run briefly: seeds, a walk of every step, properties, kills. Prints what it did,
as a table.

.venv/bin/python -m tests.faults.soak --minutes 10                   for the seeds and the kills; the rest is whole
.venv/bin/python -m tests.faults.soak --seeds 100000 --kills 1000    until this much was done, however long it takes
"""

from __future__ import annotations

import argparse
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from tests.faults.crashes import InProcess, Servers, walk
from tests.faults.kills import REPLAY as KILLS_REPLAY
from tests.faults.kills import Killed, database, run_kills
from tests.faults.simulation import Tally, failed, run_seeds
from tests.servers.gcs import GcsServer

BATCH = 200
KILLS = 10
ROOT = Path(__file__).parents[2]
Row = tuple[str, str]


class Until(NamedTuple):
    """When enough was done: at a moment of ``time.monotonic``, or after a count; the first that comes."""

    moment: float
    count: float

    def reached(self, done: int) -> bool:
        return time.monotonic() >= self.moment or done >= self.count

    @classmethod
    def of(cls, minutes: float | None, count: int | None) -> Until:
        """Half of the minutes (ten, if neither is given), or the count."""
        if minutes is None and count is not None:
            return cls(math.inf, count)
        share = 60 * (10.0 if minutes is None else minutes) / 2
        return cls(time.monotonic() + share, math.inf if count is None else count)


def seeds(start: int, until: Until, workers: int) -> Tally:
    """Simulates seeds from ``start`` on, in ``workers`` processes, until it is enough or one fails."""
    total, began = Tally(), time.monotonic()
    with ProcessPoolExecutor(workers) as pool:
        batches = iter(range(start, sys.maxsize, BATCH))
        running = {pool.submit(run_seeds, next(batches), BATCH) for _ in range(workers)}
        while running:
            done = next(as_completed(running))
            running.remove(done)
            total = total.plus(done.result())
            if not until.reached(total.seeds + BATCH * len(running)) and not total.failures:
                running.add(pool.submit(run_seeds, next(batches), BATCH))
    total.seconds = time.monotonic() - began
    return total


def simulation(start: int, until: Until, workers: int, problems: list[str]) -> Iterator[Row]:
    """The seeds' rows of the table."""
    tally = seeds(start, until, workers)
    problems += [failed(each) for each in tally.failures]
    yield "simulation: seeds", f"{tally.seeds} (from {start} on)"
    yield "simulation: applies, steps", f"{tally.runs}, {tally.steps}"
    yield "simulation: faults injected", str(tally.faults)
    yield "simulation: crashes", str(tally.crashes)
    yield "simulation: writes of others", str(tally.foreign.total())
    yield "simulation: time", f"{tally.seconds:.0f} s, {60 * tally.seeds / tally.seconds:.0f} seeds a minute"


def walks(problems: list[str]) -> Iterator[Row]:
    """The walks' rows."""
    servers = Servers()
    try:
        made = [walk("at the doors", InProcess), walk("at the wire", servers)]
    finally:
        servers.close()
    for each in made:
        problems += [f"walk {each.name}: {problem}" for problem in each.problems]
        yield f"walk {each.name}: steps, crashes, time", f"{each.steps}, {each.deaths}, {each.seconds:.0f} s"


def properties(workers: int, problems: list[str]) -> Iterator[Row]:
    """The properties' rows: each is tried with many more examples than in the tests, and with others every time."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "tests/unit", "-m", "hypothesis", "--hypothesis-profile", "soak"]
    command += ["-n", str(workers), "--dist", "load", "--timeout", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        problems.append(done.stdout + done.stderr)
    found = re.search(r"(\d+) passed", done.stdout)
    yield "properties: held, time", f"{found[1] if found else 0}, {time.monotonic() - began:.0f} s"


def kill_one(folder: Path, address: str, seed: int) -> Killed:
    """One world, on a bucket of its own."""
    with GcsServer() as gcs:
        return run_kills(folder, gcs, address, seed=seed, kills=KILLS)


def kills(first: int, until: Until, workers: int, problems: list[str]) -> Iterator[Row]:
    """The kills' rows: a world a seed."""
    began, hits, wrote = time.monotonic(), 0, 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reconcile-soak-")))
        address = database(stack, folder)
        pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=get_context("spawn")))
        worlds = count(first)
        running: dict[Future[Killed], Path] = {}

        def start() -> None:
            seed = next(worlds)
            running[pool.submit(kill_one, folder / str(seed), address, seed)] = folder / str(seed)

        for _ in range(workers):
            start()
        done = 0
        while running:
            future = next(as_completed(running))
            shutil.rmtree(running.pop(future), ignore_errors=True)
            result = future.result()
            problems += [
                f"{problem}\nreplay it with: {KILLS_REPLAY.format(result.seed, KILLS)}" for problem in result.problems
            ]
            done, hits, wrote = done + 1, hits + result.kills, wrote + result.wrote
            if not until.reached(hits):
                start()
    yield "SIGKILL: worlds, processes killed", f"{done}, {hits} ({wrote} of the runs had written something)"
    yield "SIGKILL: time", f"{time.monotonic() - began:.0f} s"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, help="for the seeds and the kills together; 10 if nothing is given")
    parser.add_argument("--seeds", type=int, help="no more than this many seeds")
    parser.add_argument("--kills", type=int, help="no more than this many kills, and a few to end a world")
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes at once")
    options = parser.parse_args()
    problems: list[str] = []
    sys.stdout.write("| what | measured |\n|---|---|\n")
    _tell(simulation(options.start, Until.of(options.minutes, options.seeds), options.workers, problems))
    _tell(walks(problems))
    _tell(properties(options.workers, problems))
    _tell(kills(options.start, Until.of(options.minutes, options.kills), options.workers, problems))
    sys.stdout.write("".join(f"\n{problem}\n" for problem in problems))
    return int(bool(problems))


def _tell(rows: Iterator[Row]) -> None:
    for what, measured in rows:
        sys.stdout.write(f"| {what} | {measured} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
