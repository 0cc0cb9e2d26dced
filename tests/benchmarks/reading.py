"""CPU seconds for reading all objects, and then all records, of many assets:
``python -m tests.benchmarks.reading 10000000``. The server needs 1.5 GiB for each million, and minutes to begin.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from reconcile.api import Project
from tests.benchmarks.assets import FIELDS, characters, make_rules
from tests.benchmarks.table import Row, serving

APART = 4_000
"""Objects between two cuts of the listing, as a run has them that remembers the last one."""


def main() -> None:
    """Prints the figures."""
    assets = int(sys.argv[1])
    folders = {
        path.partition("/")[0]: [path for path in FIELDS if path.startswith(path.partition("/")[0])] for path in FIELDS
    }
    with tempfile.TemporaryDirectory() as name, serving(Row("", assets, ())) as address:
        make_rules(Path(name), f"http://{address}", address)
        (Path(name) / "output").mkdir()
        with Project.open(Path(name)).opened() as project:
            cuts = [
                paths[0].format(each)
                for paths in folders.values()
                for each in islice(characters(assets), 0, None, APART // len(paths))
            ]
            _timed("objects", project.objects.list("", sorted(cuts)))
            _timed("records", project.records.read())


def _timed(what: str, rows: Iterable[object]) -> None:
    started = time.process_time()
    count = sum(1 for _ in rows)
    sys.stdout.write(f"{count} {what}: {time.process_time() - started:.2f} s of CPU\n")


if __name__ == "__main__":
    main()
