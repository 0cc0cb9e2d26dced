"""Watches a folder by the system's events, or by scanning it if there are none. The only user of watchfiles.

Links are never followed. Linux's events would follow them out of the folder, so a folder that contains links to folders
is scanned instead. Events can also be lost (a full queue, a limit reached later), so the folder is scanned now and then
even with events, and the listener is restarted if a scan shows that some were lost.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.adapters.disk_names import as_text, native
from reconcile.adapters.local.folder import OpenFolder, OpenFolders, open_below
from reconcile.adapters.local.hashing import read_at
from reconcile.adapters.local.hearing import HeardPaths
from reconcile.adapters.local.names import Entry, Lister
from reconcile.adapters.local.seen import identity
from reconcile.adapters.opening import split
from reconcile.adapters.system import current
from reconcile.core.media_complete import missing_end
from reconcile.core.names import is_unicode
from reconcile.core.pattern import Template
from reconcile.core.reach import Selection
from reconcile.core.rows import Signature
from reconcile.core.watching import Look, Poll, Seen

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

POLL_EVERY = 5.0
"""Seconds between two scans of the folder if there are no events."""
_GROUPED_MS = 500
_STEP_MS = 100
_SHARE = 20  # scanning a large folder takes at most a twentieth of the time
_DELETED = 3
_ADDED = 1

_WITHOUT_EVENTS = re.compile(
    r"(nfs\d?|cifs|smb\d?|smbfs|9p|drvfs|virtiofs|vboxsf|prl_fs|vmhgfs|afs|ceph|glusterfs|lustre|beegfs|fuse(\..*)?)"
)


class FolderWatch:
    """A watch over the files below ``root``; ``ignore`` and ``rules`` leave out the same files as in the walk.

    Without ``holds_incomplete``, every file counts as complete.
    """

    def __init__(
        self,
        root: Path,
        *,
        ignore: Sequence[str],
        rules: Sequence[Template] | None = None,
        holds_incomplete: bool = True,
        poll: Poll = Poll.AUTO,
        clock: Callable[[], float] = time.monotonic,
        mounts: Path = Path("/proc/mounts"),
    ) -> None:
        self._root = root
        self._holds_incomplete = holds_incomplete
        self._poll = poll
        self._clock = clock
        self._mounts = mounts
        self._lister = Lister(Selection(ignore, rules, ignore_case=current().is_windows))
        self._identity: tuple[int, int] | None = None
        self._real = ""
        self._notify: RustNotify | None = None
        self._hearing = HeardPaths(clock)
        self._known: dict[str, Signature] = {}
        self._next_scan = 0.0

    def close(self) -> None:
        if self._notify is not None:
            self._notify.close()
            self._notify = None
        self._identity = None
        self._known = {}
        self._hearing.forget()

    def wait(self, seconds: float, stop: threading.Event) -> Seen:
        """Waits until something changes, ``stop`` is set, or ``seconds`` have passed; returns what was seen."""
        identity = self._find()
        if identity is None:
            self.close()
            _pause(seconds, stop)
            return Seen(gone=True)
        if identity != self._identity:
            self.close()
            return Seen(armed=self._arm(identity))
        if self._clock() >= self._next_scan:
            return Seen(self._changed())
        if self._notify is None:
            _pause(min(seconds, max(0.0, self._next_scan - self._clock())), stop)
            return Seen()
        return self._hear(self._notify, seconds, stop)

    # -- single files --

    def look(self, path: str) -> Look | None:
        """Returns what a file or folder looks like now, or None if there is none or it is of another kind."""
        try:
            found = current().lstat(self._full(path))
        except (OSError, ValueError):
            return None
        is_folder = stat.S_ISDIR(found.st_mode)
        return Look(identity(found), folder=is_folder) if is_folder or stat.S_ISREG(found.st_mode) else None

    def below(self, path: str) -> list[str]:
        return list(self._scan(path)[0])

    def missing_end(self, path: str) -> str | None:
        """Returns what the file certainly lacks, in words that follow "it"; None if it is complete or that is
        unknown."""
        if not split(path) or not self._holds_incomplete:
            return None
        try:
            fd = open_below(current().extended(os.path.abspath(self._root)), path)
        except PermissionError:
            # On Windows the writing program may prevent others from opening it.
            return "cannot be opened"
        except OSError:
            return None
        with open(fd, "rb", buffering=0):
            try:
                return missing_end(path, os.fstat(fd).st_size, partial(read_at, fd))
            except OSError as error:
                return f"cannot be read: {error.strerror}"

    # -- listening --

    def _find(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._root)
        except OSError:
            return None
        if not stat.S_ISDIR(found.st_mode):
            return None
        # Some network drives report another id for a folder each time it is opened.
        return (found.st_dev, found.st_ino) if current().gives_events(os.fspath(self._root)) else (0, 0)

    def _arm(self, identity: tuple[int, int]) -> str:
        """Starts the listener, then scans, so that no change is missed. Returns how the folder is watched now."""
        self._identity = identity
        self._real = os.path.realpath(self._root)
        how = self._listen()
        self._known, _ = self._scanned()
        if self._notify is not None:
            return "by the system's events"
        return f"by looking every {POLL_EVERY:g} s: {how}"

    def _listen(self) -> str:
        """Starts the listener, or returns why there will be no events."""
        if self._poll is Poll.ALWAYS:
            return "as asked for"
        kind = filesystem(self._real, self._mounts)
        if self._poll is Poll.AUTO and kind is not None and _WITHOUT_EVENTS.fullmatch(kind):
            return f"{kind} reports no events for changes by other machines"
        if self._poll is Poll.AUTO and not current().gives_events(self._real):
            return "a drive of another machine reports no events for changes by other machines"
        if self._poll is Poll.AUTO and any(entry.is_folder for _, _, entry in self._walk("")):
            return "it holds links to folders, which the system's events would follow"
        from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

        try:
            # Its option to ignore unreadable folders would also ignore that a limit is reached.
            self._notify = RustNotify([as_text(self._real)], False, False, 0, True, False)
        except WatchfilesRustInternalError as error:
            return f"{error} (raise fs.inotify.max_user_instances)" if "os error 24" in str(error) else str(error)
        except PermissionError:
            return "a folder in it may not be read"
        except OSError as error:
            if "watch limit" in str(error):
                return "the system's limit of watched folders is reached (raise fs.inotify.max_user_watches)"
            return error.strerror or str(error)
        return ""

    def _hear(self, notify: RustNotify, seconds: float, stop: threading.Event) -> Seen:
        from watchfiles._rust_notify import WatchfilesRustInternalError

        try:
            heard = notify.watch(_GROUPED_MS, _STEP_MS, max(1, int(1000 * seconds)), stop)
        except WatchfilesRustInternalError:
            # A single name that is not UTF-8 ends the listener.
            return self._listen_again()
        if isinstance(heard, str):
            lost = self._hearing.lost(lambda path: current().is_being_written(self._full(path)))
            return self._listen_again(lost) if lost else Seen()
        if (_DELETED, as_text(self._real)) in heard:
            self._identity = None  # even if the folder exists again: it may have the same id
        found = {self._heard(change, path) for change, path in heard if change != _DELETED}
        paths = sorted(path for path in found if path is not None)
        self._hearing.heard(paths)
        return Seen(tuple(paths))

    def _listen_again(self, lost: Sequence[str] = ()) -> Seen:
        """Restarts the listener; ``lost`` are files that had no events. Returns what a scan found meanwhile."""
        assert self._notify is not None
        self._notify.close()
        self._notify = None
        why = "the system's events fail again and again" if self._hearing.failed() else self._listen()
        how = f"by looking every {POLL_EVERY:g} s: {why}" if why else None
        if lost and how is None:
            files = f"{len(lost)} files, such as" if len(lost) > 1 else "a file that changed,"
            how = f"by the system's events, restarted, because they missed {files} {lost[0]!r}"
        changed = self._changed()
        self._hearing.forget()
        return Seen(changed, armed=how)

    def _heard(self, change: int, full: str) -> str | None:
        """Returns the path below the root, or None if it is ignored."""
        path = os.path.relpath(full, as_text(self._real)).replace(os.sep, "/")
        if path == "." or path.startswith("../") or self._lister.selection.excludes(path):
            return None
        # Files in a folder have their own events; those of files in a new folder may have been missed.
        return path if change == _ADDED or not os.path.isdir(native(full)) else None

    # -- looking --

    def _changed(self) -> tuple[str, ...]:
        before, (self._known, links) = self._known, self._scanned()
        if links and self._notify is not None and self._poll is Poll.AUTO:
            self._identity = None  # so that the watch is armed again
        changed = [path for path, signature in self._known.items() if before.get(path) != signature]
        if self._notify is not None:  # a change of a file's permissions or other names may have no event
            self._hearing.looked(path for path in changed if before.get(path, ())[:2] != self._known[path][:2])
        return tuple(changed)

    def _scanned(self) -> tuple[dict[str, Signature], bool]:
        started = self._clock()
        found = self._scan("")
        ended = self._clock()
        every = POLL_EVERY if self._notify is None else self._hearing.recheck
        self._next_scan = ended + max(every, _SHARE * (ended - started))
        return found

    def _scan(self, start: str) -> tuple[dict[str, Signature], bool]:
        found: dict[str, Signature] = {}
        links = False
        for rel, folder, entry in self._walk(f"{start}/" if start else ""):
            if entry.is_folder:
                links = True
                continue
            with contextlib.suppress(OSError):
                seen = folder.stat(entry.name)
                if stat.S_ISREG(seen.st_mode):
                    found[rel + entry.name] = identity(seen)
        return found, links

    def _walk(self, rel: str) -> Iterator[tuple[str, OpenFolder, Entry]]:
        """Yields the files below a folder, and the links to folders, which are not entered.

        Each comes with the path of its folder, and with that folder, open.
        """
        with OpenFolders(self._full("")) as folders:
            stack = [rel]
            while stack:
                rel = stack.pop()
                with contextlib.suppress(OSError):
                    folder = folders.at(rel)
                    for entry in self._lister.entries(folder, rel):
                        if not is_unicode(entry.name):
                            continue
                        if entry.is_folder and not entry.is_link:
                            stack.append(f"{rel}{entry.name}/")
                        elif entry.is_folder or not entry.is_link:
                            yield rel, folder, entry

    def _full(self, path: str) -> str:
        root = current().extended(self._real or os.path.abspath(self._root))
        return os.path.join(root, *native(path).split("/")) if path else root


def _pause(seconds: float, stop: threading.Event) -> None:
    # Not ``stop.wait``: a signal handler that interrupts it and sets the event would wait forever.
    end = time.monotonic() + seconds
    while not stop.is_set() and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _STEP_MS / 1000))


def filesystem(real: str, mounts: Path) -> str | None:
    """Returns the type of the file system that a resolved path is on (on Linux); None if unknown."""
    try:
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return None
    kinds: dict[str, str] = {}  # of several mounts at one place, the last one counts
    for fields in map(bytes.split, lines):
        if len(fields) >= 3:
            point = re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), fields[1])
            kinds[os.fsdecode(point)] = fields[2].decode("ascii", "replace")
    above = (place for place in kinds if real == place or real.startswith(place.rstrip("/") + "/"))
    return kinds.get(max(above, key=len, default=""))
