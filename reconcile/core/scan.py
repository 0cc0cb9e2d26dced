"""Files ⇄ scan folder: the files of one machine's local root, as rows for a plan that is made elsewhere.

scan.json           the machine, and the list of the files below; written last
files-0000.jsonl    files, one per line, in the order of a walk
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from reconcile.core.errors import UsageError
from reconcile.core.headed import Head, HeadedFolder
from reconcile.core.names import escaped, is_below
from reconcile.core.rows import LocalFile

FORMAT = "reconcile.scan/1"
HEAD = "scan.json"
FILES_A_SHARD = 100_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
"""Valid names of machines, which become part of file names."""
AGAIN = "scan again with `reconcile scan --out DIR`, into a new folder"
FOLDER = HeadedFolder(HEAD, "scan", FORMAT, "make one with `reconcile scan --out DIR`", AGAIN)


class ScanShard(msgspec.Struct, frozen=True):
    """One file of rows: their number, and the file's length in bytes and its SHA-256 in hex."""

    name: str
    files: int
    bytes: int
    sha256: str


class Scan(Head, frozen=True):
    """The document ``scan.json``. ``name`` is the machine's, ``root`` its local root, ``created`` the time of the scan
    (RFC 3339)."""

    tool: str
    created: str
    name: str
    root: str
    shards: tuple[ScanShard, ...]


class _ScanLine(LocalFile, frozen=True):
    """A file as a line. A path that is not valid Unicode is in ``raw`` (base64), and escaped in ``path``."""

    raw: bytes = b""


def shards_of(files: Iterable[LocalFile]) -> Iterator[tuple[ScanShard, bytes]]:
    """Yields the files of a scan, one shard at a time."""
    rows = iter(files)
    for number, some in enumerate(iter(lambda: list(islice(rows, FILES_A_SHARD)), [])):
        data = b"".join(map(line, some))
        yield ScanShard(f"files-{number:04}.jsonl", len(some), len(data), hashlib.sha256(data).hexdigest()), data


def line(file: LocalFile) -> bytes:
    """Encodes a file as a line."""
    try:
        return msgspec.json.encode(file) + b"\n"
    except UnicodeEncodeError:
        told = {**msgspec.structs.asdict(file), "path": escaped(file.path), "detail": escaped(file.detail)}
        return msgspec.json.encode(_ScanLine(**told, raw=file.path.encode("utf-8", "surrogatepass"))) + b"\n"


def load_head(data: bytes, folder: str) -> Scan:
    """Decodes a head. Raises UsageError, naming the folder, if it is torn or of another format."""
    scan = FOLDER.decode(data, Scan, folder)
    if NAME.fullmatch(scan.name) is None:
        raise UsageError(f"{HEAD} in {folder} is of {scan.name!r}, which is not a valid name of a machine", hint=AGAIN)
    return scan


def read_shard(shard: ScanShard, data: bytes, folder: str) -> Iterator[LocalFile]:
    """Yields the files of a shard.

    Raises UsageError if it is not the file that the head names: with a shorter one, files would seem absent.
    """
    for row in FOLDER.read_lines(shard.name, data, shard.sha256, _ScanLine, folder):
        try:
            path = row.raw.decode("utf-8", "surrogatepass") if row.raw else row.path
        except UnicodeDecodeError as error:
            raise UsageError(f"{shard.name} in {folder} cannot be read: {error}", hint=AGAIN) from error
        if row.size < 0 or "\0" in path or not is_below(path.removesuffix("/")):
            raise UsageError(f"{shard.name} in {folder} has {path!r}, which is not a file below a root", hint=AGAIN)
        yield LocalFile(path, row.size, row.mtime_ns, row.crc32c, row.problem, row.detail, row.twin)
