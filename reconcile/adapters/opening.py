"""Opens files and folders safely: valid paths, open flags, and the reasons why the system refused."""

from __future__ import annotations

import io
import os
import re

from reconcile.adapters import descriptors
from reconcile.adapters.system import current
from reconcile.core.errors import SourceError
from reconcile.core.names import is_below, is_unicode

_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0) | getattr(os, "O_BINARY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
# Without O_NONBLOCK, opening a pipe that has replaced a file would wait forever for a writer.
READ_FILE = _READ | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
READ_FOLDER = _READ | _NO_FOLLOW | getattr(os, "O_DIRECTORY", 0)
READ_ROOT = READ_FOLDER & ~_NO_FOLLOW
"""For a folder that the user names, which may be a link."""

_NAME_SURROGATE = 0x20000000
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?", re.IGNORECASE)


class SourceFile(io.FileIO):
    """A file open for reading whose failures are SourceErrors."""

    def __init__(self, fd: int, path: str) -> None:
        super().__init__(fd)
        self._path = path

    def readinto(self, buffer: bytearray | memoryview, /) -> int | None:  # type: ignore[override]
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise unreadable(self._path, error) from error

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as error:
            raise unreadable(self._path, error) from error


def components(path: str) -> list[str]:
    """Returns the components of a relative path that a walk could yield; none for any other text."""
    return path.split("/") if is_below(path) and is_unicode(path) and "\0" not in path else []


def split(path: str) -> list[str]:
    """Returns the components of a relative path that could be opened; none for any other text."""
    parts = components(path)
    if current().is_windows and any(is_windows_trick(part) for part in parts):
        return []
    return parts


def is_windows_trick(part: str) -> bool:
    """Whether Windows would read the name as another place: a separator, a drive, a stream or a device."""
    return "\\" in part or ":" in part or part[-1] in ". " or bool(_WINDOWS_DEVICE.fullmatch(part))


def leads_elsewhere(found: os.stat_result) -> bool:
    """Whether a file is a junction, or another of Windows' reparse points that lead to another place.

    Those of compressed files, or of files that a cloud service keeps, do not.
    """
    return bool(getattr(found, "st_reparse_tag", 0) & _NAME_SURROGATE)


def reason(error: Exception) -> str:
    """Returns why the system refused, without the path and the number."""
    if descriptors.is_shortage(error):
        return descriptors.shortage(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


def hint(error: Exception, otherwise: str) -> str:
    """Returns what to do about a refusal: ``otherwise``, unless file descriptors ran out."""
    return descriptors.HINT if descriptors.is_shortage(error) else otherwise


def unreadable(path: str, error: OSError) -> SourceError:
    """Returns the error for a local file that could be read only in part."""
    return SourceError(
        f"the local file {path} could not be read to its end: {reason(error)}", hint=hint(error, "check the disk")
    )
