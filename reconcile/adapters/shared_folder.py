"""The two kinds of ``SharedFolder``: a folder of a file system, and a prefix of a bucket."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path, PurePath

import crc32c

from reconcile.adapters.files import PRIVATE, beside, move_to_free, read_bytes
from reconcile.adapters.system import current
from reconcile.core.digest import encode_crc32c
from reconcile.core.errors import NotThere, PreconditionFailed, UsageError
from reconcile.core.names import BucketRoot
from reconcile.ports import DesiredObject, ObjectStore

_ANOTHER = "name another folder"


def bucket_place(where: PurePath) -> str | None:
    """Returns the gs:// URI that a path was typed as, or None for a real path."""
    return f"gs://{'/'.join(where.parts[1:])}" if where.parts[:1] == ("gs:",) else None


def beside_assets(uri: str, assets: BucketRoot) -> BucketRoot:
    """Returns the folder in a bucket that a URI names.

    Raises UsageError if it names none, or one that is among the assets or contains them.
    """
    try:
        root = BucketRoot.parse(uri)
    except ValueError as error:
        raise UsageError(str(error), hint="name a folder of a bucket, as gs://BUCKET/plans/tonight") from error
    if f"{root}/".startswith(f"{assets}/"):
        raise UsageError(f"{root} is below {assets}, among the assets", hint="name a place outside it")
    if f"{assets}/".startswith(f"{root}/"):
        raise UsageError(f"{root} holds the assets, below {assets}", hint="name a folder beside them")
    return root


class DiskFolder:
    """A folder of a file system that all machines have mounted; private, because it contains data of records."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def sizes(self) -> dict[str, int]:
        """Returns sizes as ``SharedFolder.sizes``."""
        try:
            with os.scandir(self._path) as entries:
                sizes = ((entry.name, _size(entry)) for entry in entries)
                return {name: size for name, size in sizes if size is not None}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise UsageError(
                f"the folder {str(self._path)!r} cannot be read: {error.strerror}", hint=_ANOTHER
            ) from error

    def read(self, name: str) -> bytes:
        """Reads as ``SharedFolder.read``."""
        try:
            return read_bytes(self._path / name)
        except OSError as error:
            raise UsageError(f"{str(self._path / name)!r} cannot be read: {error.strerror}", hint=_ANOTHER) from error

    def create(self, name: str, data: bytes) -> None:
        """Creates as ``SharedFolder.create``."""
        place = self._path / name
        try:
            if not self._path.is_dir():
                current().make_private(self._path)
            with beside(place, data, PRIVATE) as new:
                move_to_free(new, place)
        except OSError as error:
            raise UsageError(f"{str(place)!r} cannot be written: {error.strerror}", hint=_ANOTHER) from error


def _size(entry: os.DirEntry[str]) -> int | None:
    """The length of what has this name, of a link that leads nowhere that of the link. None if it is there no more:
    another machine, which writes its report beside a plan, moved it just now."""
    for follows in (True, False):
        with contextlib.suppress(FileNotFoundError):
            return entry.stat(follow_symlinks=follows).st_size
    return None


class BucketFolder:
    """A prefix of a bucket. Its objects are never replaced."""

    def __init__(self, root: BucketRoot, objects: ObjectStore) -> None:
        self._root = root
        self._objects = objects

    def __str__(self) -> str:
        return str(self._root)

    def sizes(self) -> dict[str, int]:
        """Returns sizes as ``SharedFolder.sizes``."""
        return {each.key: each.size for each in self._objects.list()}

    def read(self, name: str) -> bytes:
        """Reads as ``SharedFolder.read``."""
        try:
            return b"".join(self._objects.read(name))
        except NotThere as error:
            raise UsageError(f"{self._root.uri(name)} is not there", hint=_ANOTHER) from error

    def create(self, name: str, data: bytes) -> None:
        """Creates as ``SharedFolder.create``."""
        try:
            self._objects.put(
                DesiredObject(name, len(data), encode_crc32c(crc32c.crc32c(data)), "application/json", 0),
                io.BytesIO(data),
            )
        except PreconditionFailed as error:
            raise UsageError(f"{self._root.uri(name)} is there already", hint=_ANOTHER) from error
