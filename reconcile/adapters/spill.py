"""A temporary file without a name, for what does not fit in memory. It disappears with the process in any case."""

from __future__ import annotations

import errno
from pathlib import Path

from reconcile.core.closing import Closing
from reconcile.core.errors import SpillError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MEGABYTE = 1_000_000
_HINT = "name another folder with --spill, or allow more memory with --memory"


class SpillFile(Closing):
    """A file for appending blocks of bytes and reading them again; for one thread.

    No other process can open it: POSIX unlinks it while open, Windows deletes it when it is closed. All operations
    raise SpillError.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.size = 0
        try:
            import tempfile  # few runs need it

            self._file = tempfile.TemporaryFile(  # noqa: SIM115 it stays open
                buffering=0, prefix="reconcile-", suffix=".spill", dir=folder
            )
        except OSError as error:
            raise self._failure(error, 0) from error

    def close(self) -> None:
        self._file.close()

    def append(self, block: bytes) -> int:
        """Writes a block at the end and returns its offset."""
        at, left = self.size, memoryview(block)
        try:
            self._file.seek(at)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise self._failure(error, len(left)) from error
        self.size += len(block)
        return at

    def read(self, at: int, size: int) -> bytes:
        """Returns the block of this size at this offset."""
        try:
            self._file.seek(at)
            found = self._file.read(size) or b""
        except OSError as error:
            raise self._failure(error, 0) from error
        if len(found) < size:
            raise SpillError(f"the spill folder {self._folder} lost what was written to it", hint=_HINT)
        return found

    def _failure(self, error: OSError, lacking: int) -> SpillError:
        if error.errno in _FULL:
            held, more = (max(1, -(-count // _MEGABYTE)) for count in (self.size, lacking))
            return SpillError(
                f"the spill folder {self._folder} is full: this run holds {held:,} MB there, and needs at least"
                f" {more:,} MB more",
                hint=f"make room there, {_HINT}",
            )
        return SpillError(f"the spill folder {self._folder} cannot be used: {error.strerror}", hint=_HINT)
