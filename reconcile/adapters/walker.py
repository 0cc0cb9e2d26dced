"""The second process of ``local.apart``: it walks the local files and sends the rows to the process that started it.

It ends with that process, whatever it is doing.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from reconcile.adapters.files import write_all
from reconcile.adapters.local import wire
from reconcile.adapters.local.names import Prefixes
from reconcile.adapters.local.seen import Row
from reconcile.adapters.local.walking import Walk
from reconcile.adapters.state.tables import known_hashes
from reconcile.adapters.system import current
from reconcile.core.pattern import Template
from reconcile.core.reach import Selection


def main(
    root: bytes,
    ignore: Sequence[str],
    rules: Sequence[str] | None,
    holds_incomplete: bool,
    hashes: bytes,
    identity: tuple[int, int],
) -> None:
    """Walks below the root, which has this device and inode, and writes the rows to stdout."""
    gc.disable()  # the objects here form no cycles, and the process is short-lived
    status = 1
    try:
        threading.Thread(target=_listen, daemon=True).start()
        templates = None if rules is None else [Template(each) for each in rules]
        selection = Selection(ignore, templates, ignore_case=current().is_windows)
        known = known_hashes(Path(os.fsdecode(hashes)))
        walk = Walk(os.fsdecode(root), selection, known, holds_incomplete=holds_incomplete)
        for block in wire.blocks(_rows(walk, os.fsdecode(root), identity)):
            write_all(1, block)
        status = 0
    finally:
        os._exit(status)  # a thread waits for stdin, and the interpreter would wait for it on exit


def _rows(walk: Walk, root: str, identity: tuple[int, int]) -> Iterator[Row]:
    """Yields the rows of a full walk. Raises OSError if this is not the same root at its end."""
    yield from walk.rows(walk.top(), Prefixes(("",)))
    found = os.stat(root)
    # The other process looks much later: by then a root that went away meanwhile may have come back.
    if (found.st_dev, found.st_ino) != identity:
        raise OSError("the root was replaced while it was read")


def _listen() -> None:
    """Ends this process with stdin, which ends with the parent process."""
    os.read(0, 1)
    os._exit(1)
