"""How long a plan takes where nothing is to be done, beside the walk that it cannot do without:
``python -m tests.benchmarks.plan [FILES]``.

Machines are noisy and differ: the ratios of one run are what to compare.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from reconcile import Project
from reconcile.core.media import content_type
from reconcile.pipeline.planner import survey
from reconcile.ports import DesiredObject
from tests.benchmarks.assets import characters, make_files, make_rules, record_of


def build(folder: Path, files: int) -> None:
    """A project in step on embedded stores: ``files`` small files, their objects, and records that name them all."""
    make_rules(folder, "file:store/bucket", "file:store/records")
    make_files(folder / "output", files)
    with Project.open(folder).opened() as project:
        for char_id in characters(files):
            project.records.create(char_id, record_of(char_id))
        for file in project.files.walk():
            assert file.crc32c is not None
            body, kind = io.BytesIO((folder / "output" / file.path).read_bytes()), content_type(file.path)
            project.objects.put(DesiredObject(file.path, file.size, file.crc32c, kind, 0), body)


def timed(work: Callable[[], object]) -> float:
    """Seconds of the best of three runs."""
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def main() -> None:
    """Prints the figures for the number of files given (default 3,000)."""
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 3_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, files)

        def walk() -> None:
            with Project.open(folder).opened() as project:
                assert sum(1 for _ in project.files.walk()) == files

        def plan() -> None:
            with Project.open(folder).opened() as project:
                assert survey(project).plan.summary.in_step == files

        plan()
        walked, planned = timed(walk), timed(plan)
    sys.stdout.write(
        f"{files} files in step: walk {walked:.2f} s, plan {planned:.2f} s, plan/walk {planned / walked:.1f}\n"
    )


if __name__ == "__main__":
    main()
