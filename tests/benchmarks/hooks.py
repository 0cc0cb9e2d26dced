"""What importing the hooks costs over bare Python, and what one call of a decorated function costs on embedded stores:
``python -m tests.benchmarks.hooks [ROUNDS]``."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from reconcile.hooks import auto_upload_to_gcs
from tests.kit.small_project import make_project

CASES = {
    "bare": "pass",
    "import": "import reconcile.hooks",
    "decorated": "from reconcile.hooks import *\n@auto_upload_to_gcs('x')\ndef f(char_id): pass",
    "typing": "import typing",
    "asyncio": "import asyncio",
}


def main() -> int:
    """Prints milliseconds: the least and the median of the rounds, taken in turns."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(rounds):
        for name, code in CASES.items():
            times[name].append(seconds(lambda code=code: subprocess.run([sys.executable, "-c", code], check=True)))
    bare = times["bare"]
    for name, found in times.items():
        least, median = min(found) - min(bare), statistics.median(found) - statistics.median(bare)
        print(f"{name:10} {least * 1000:6.1f} {median * 1000:6.1f} ms over bare Python")  # noqa: T201
    with tempfile.TemporaryDirectory() as folder:
        made = make_project(Path(folder) / "project") / "output" / "characters" / "rem.png"
        call = auto_upload_to_gcs()(lambda: made)
        calls = [seconds(call) for _ in range(rounds)]
    print(f"a call     {calls[0] * 1000:6.1f} ms the first, {statistics.median(calls[1:]) * 1000:.1f} ms then")  # noqa: T201
    return 0


def seconds(work: Callable[[], object]) -> float:
    """How long the work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    raise SystemExit(main())
