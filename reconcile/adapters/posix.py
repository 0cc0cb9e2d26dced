"""POSIX file operations, as far as systems differ in them; Windows overrides those that differ."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_NO_SUCH_STEP = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


class System:
    """A POSIX system, and the base of other systems, which override what differs."""

    is_windows = False
    lets_go = False
    """Whether a file is closed between reads, because others cannot replace an open file."""
    private = 0o600
    """The mode of a lock file that only this user may open."""
    waits: tuple[float, ...] = ()
    """Seconds between attempts at a step that was refused because another program had the file open."""
    by_component = hasattr(os, "O_NOFOLLOW") and os.open in os.supports_dir_fd
    """Whether a name can be opened relative to an open folder, refusing links."""

    # -- opening --

    def open(self, path: Path | str, flags: int, mode: int = 0o666, *, folder: int | None = None) -> int:
        """Returns a descriptor of a file. Raises OSError."""
        return os.open(path, flags, mode, dir_fd=folder)

    def refuse_link(self, path: str) -> None:
        """Raises OSError for a path that contains a link."""
        if os.path.normcase(os.path.realpath(path)) != os.path.normcase(path):
            raise OSError("a part of the path is a link")

    def check_place(self, fd: int, path: str) -> None:
        """Raises OSError if the system can tell that the open file is not the one at this path, or is behind a link."""

    def is_in_use(self, error: OSError) -> bool:  # noqa: ARG002
        """Whether a file was refused because another program has it open, rather than for lack of a right."""
        return False

    def is_being_written(self, path: str) -> bool:  # noqa: ARG002
        """Whether a program has the file open for writing; False if the system cannot tell."""
        return False

    def has_writer(self, fd: int) -> bool:
        """Whether a program has the open file open for writing: Linux then grants no lease on it.

        Network file systems refuse leases for other reasons too, but they cannot exchange files, and are never asked.
        """
        refused = False
        if sys.platform == "linux":
            import fcntl

            try:
                # A program that opens it meanwhile waits until the lease ends. This signal is ignored; the default one
                # kills.
                fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
                fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
                fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            except OSError as error:
                refused = error.errno == errno.EAGAIN
        return refused

    def widen(self, pipe: int, size: int) -> None:
        """Lets a pipe hold up to ``size`` bytes, if the system allows it."""
        if sys.platform == "linux":
            import fcntl

            with contextlib.suppress(OSError):  # each user has a limit for all of their pipes
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size)

    # -- what a file looks like --

    def lstat(self, path: str) -> os.stat_result:
        """Returns the status of a file, or of a link itself; ``st_ctime_ns`` is the change time. Raises OSError."""
        return os.lstat(path)

    def fstat(self, fd: int) -> os.stat_result:
        """Returns the status of an open file, like ``lstat``."""
        return os.fstat(fd)

    def is_elsewhere(self, found: os.stat_result) -> bool:  # noqa: ARG002
        """Whether a file's content is not on this disk, so that reading would fetch it."""
        return False

    def owner(self, path: Path) -> str:
        """Returns the owner of a file or folder; empty if it is this user, and rights depend on nothing else.

        Raises OSError.
        """
        name = ""
        if sys.platform != "win32":
            import pwd

            number = path.stat().st_uid
            if number != os.geteuid():
                name = str(number)
                with contextlib.suppress(KeyError):
                    name = pwd.getpwuid(number).pw_name
        return name

    def to_get_rights(self, path: str) -> str:
        """Returns how this user gets the rights on another user's folder, as the end of a sentence."""
        return f"`sudo chown -R $(id -u) {self.quoted(path)}` makes it yours"

    # -- names --

    def name_length(self, name: str) -> int:
        """Returns the length of a name in ``name_unit``."""
        return len(name.encode("utf-8", "surrogateescape"))

    name_unit = "bytes"

    def extended(self, path: str) -> str:
        """Returns an absolute path in the form that has no length limit."""
        return path

    def plain(self, path: str) -> str:
        """Returns a path as people write it, from any form."""
        return path

    def beyond_drives(self, path: str) -> str:
        """Returns the path for a session that lacks these drive letters."""
        return path

    def spelled(self, path: str) -> str:
        """Returns an absolute path as the disk spells its names, if the system also accepts other spellings."""
        return path

    def quoted(self, word: str) -> str:
        """Returns a word of a command line, quoted for the shell of this system."""
        return shlex.quote(word)

    def takes_escapes(self, fd: int) -> bool:  # noqa: ARG002
        """Whether escape sequences may be written there; an old console would print them."""
        return True

    # -- writing --

    def make_private(self, folder: Path) -> None:
        """Creates a folder private to this user, as far as the system's modes allow. Raises OSError."""
        folder.mkdir(mode=0o700)

    def exchange(self, one: Path, other: Path, aside: Path) -> bool:  # noqa: ARG002
        """Exchanges the names of two files in one step; returns False, with nothing changed, if the system has no such
        step.

        ``aside`` is a free name that it may use meanwhile. Raises OSError.
        """
        number = errno.ENOSYS
        if sys.platform == "linux":
            import ctypes

            rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
            if rename is not None:
                here, exchanging = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
                # Python itself audits every rename, so this one is audited too.
                sys.audit("os.rename", os.fspath(one), os.fspath(other), -1, -1)
                if rename(here, os.fsencode(one), here, os.fsencode(other), exchanging) == 0:
                    return True
                number = ctypes.get_errno()
        if number in _NO_SUCH_STEP:
            return False
        raise OSError(number, os.strerror(number), os.fspath(other))

    def gives_events(self, folder: str) -> bool:  # noqa: ARG002
        """Whether the system reports what happens in a folder; some kinds of drives do not."""
        return True

    def patiently(self, step: Callable[[], T]) -> T:
        """Returns the result of the step, which is retried while another program has the file open. Raises OSError."""
        for seconds in self.waits:
            try:
                return step()
            except PermissionError as error:
                if not self.may_pass(error):
                    raise
                time.sleep(seconds)
        return step()

    def may_pass(self, error: PermissionError) -> bool:  # noqa: ARG002
        """Whether the refusal may pass in a moment."""
        return False
