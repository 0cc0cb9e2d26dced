"""How much memory the program needs to upload one large file, and how fast it is.

``python -m tests.benchmarks.large_file --size 2GiB`` makes a file of that size whose every mebibyte is another, and has
``reconcile apply`` hash it and upload it to a server in another process, which checks what comes and keeps none of it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from tests.kit.bench_project import BUCKET, OLD, PREFIX, Bench, command
from tests.kit.workshop import environment

VIDEO = "dances/dance_rem_01.mp4"
MIB = 1024 * 1024
UNITS = {"": 1, "KiB": 1024, "MiB": MIB, "GiB": 1024 * MIB}

# What a process is charged for begins with the memory of the one that started it: so a small one does.
_MEASURING = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(f"\\npeak {peak}", file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Measured(NamedTuple):
    """A run's exit code, its stdout, its peak of resident memory in bytes, and its seconds."""

    code: int
    out: str
    peak: int
    seconds: float


def large_file(path: Path, size: int) -> None:
    """A file of ``size`` bytes that takes little room on the disk, though no two mebibytes of it are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
        for number in range(0, size, MIB):
            file.seek(number)
            file.write((number + 1).to_bytes(8, "little")[: size - number])
    os.utime(path, (OLD, OLD))


def measured(folder: Path, *arguments: str) -> Measured:
    """Runs ``reconcile ARGUMENTS`` in the folder and measures it; on POSIX systems only."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURING, *command(*arguments)],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - started
    told, _, peak = done.stderr.rpartition("peak ")
    if not peak.strip().isdecimal():
        raise RuntimeError(f"the run could not be measured: {told}{peak}")
    return Measured(done.returncode, done.stdout, int(peak), seconds)


def parse_size(text: str) -> int:
    """``2GiB``, ``256MiB``, or bytes. Raises ValueError."""
    match = re.fullmatch(r"(\d+)\s*(|KiB|MiB|GiB)", text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) * UNITS[match[2]]


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=parse_size, default=2 * UNITS["GiB"], help="of the file: 2GiB, 256MiB, …")
    size: int = parser.parse_args().size
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.servers.gcs_discard", BUCKET],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        url = server.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as name:
            sys.stdout.write(f"{_figures(Path(name), url, size)}\n")
    finally:
        server.stdin.close()
        server.wait()


def _figures(folder: Path, url: str, size: int) -> str:
    bench = Bench(folder / "studio", url=url)
    large_file(bench.root / VIDEO, size)
    bench.record("rem", dance_video=bench.windows(VIDEO))
    planned = measured(bench.folder, "plan", "--json")
    applied = measured(bench.folder, "apply", "--yes", "--json")
    assert (planned.code, applied.code) == (0, 0), applied.out
    [action, _] = json.loads(planned.out)["actions"]
    with urlopen(f"{url}/storage/v1/b/{BUCKET}/o/{PREFIX}%2F{VIDEO.replace('/', '%2F')}") as answer:
        stored = json.load(answer)
    assert (int(stored["size"]), stored["crc32c"]) == (size, action["crc32c"])
    return "\n".join(
        f"{name} {size / MIB:.0f} MiB: peak {run.peak / MIB:.0f} MiB of memory, {run.seconds:.1f} s,"
        f" {size / 1e6 / run.seconds:.0f} MB/s"
        for name, run in (("hash", planned), ("upload", applied))
    )


if __name__ == "__main__":
    main()
