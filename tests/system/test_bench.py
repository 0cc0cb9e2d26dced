"""The benchmark runs, small: its figures are nobody's verdict, but what it does is done."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parents[2]


def test_the_table_of_the_benchmarks_has_a_figure_in_each_row() -> None:
    small = ["--sizes", "100", "--uploads", "20", "--rounds", "1", "--wait", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.table", *small],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if re.match(r"\| (nothing|first|`apply`)", line)]
    assert len(rows) == 6
    for row in rows:
        seconds, cpu, peak = (float(cell) for cell in row.split(" | ")[1:4])
        assert min(seconds, cpu, peak) > 0


def test_all_objects_and_records_are_read() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.reading", "100"], cwd=HERE, capture_output=True, text=True, check=False
    )
    assert re.fullmatch(r"100 objects: [\d.]+ s of CPU\n10 records: [\d.]+ s of CPU\n", done.stdout), done.stderr
