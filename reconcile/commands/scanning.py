"""Writes a scan, a list of the local files of this machine, into a folder, for a plan that is made elsewhere."""

from __future__ import annotations

import platform
from collections.abc import Iterator

import msgspec

from reconcile.core import scan as scans
from reconcile.core.events import Listener, Phase, PhaseDone, PhaseStarted, counted
from reconcile.core.headed import dump_head
from reconcile.core.rows import LocalFile
from reconcile.core.scan import HEAD, Scan, ScanShard
from reconcile.pipeline.account import now
from reconcile.ports import SharedFolder
from reconcile.project import OpenProject

FORMAT = "reconcile.scanned/1"


class Scanned(msgspec.Struct, frozen=True):
    """The document of ``scan --json``: where the scan is, the number of its files, and their bytes."""

    format: str
    folder: str
    name: str
    files: int
    bytes: int


def scan(project: OpenProject, folder: SharedFolder, name: str, listener: Listener) -> Scanned:
    """Writes the list of the files below the local root into a folder, as those of the machine ``name``. The head is
    written last, so that an incomplete folder is not taken for a scan. Raises SourceError if the root cannot be read,
    and what the folder raises."""
    project.heard_by(listener)
    listener(PhaseStarted(Phase.LISTING))
    shards: list[ScanShard] = []
    size = 0

    def sized() -> Iterator[LocalFile]:
        nonlocal size
        for file in counted(project.files.walk(), Phase.LISTING, listener):
            size += file.size
            yield file

    for shard, data in scans.shards_of(sized()):
        folder.create(shard.name, data)
        shards.append(shard)
    head = Scan(scans.FORMAT, project.origin.tool, now(), name, project.stores.local, tuple(shards))
    folder.create(HEAD, dump_head(head))
    listener(PhaseDone(Phase.LISTING))
    return Scanned(FORMAT, str(folder), name, sum(each.files for each in shards), size)


def this_machine() -> str:
    """Returns the name of this machine."""
    return platform.node() or "here"
