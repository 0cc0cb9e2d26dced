"""The operating system's handling of files, as a value that can be replaced.

Code that touches files calls ``current()``. A process has one system; ``using`` replaces it for a while, so that tests
can run the adapters by the rules of Windows.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from reconcile.adapters.posix import System


def _native() -> System:
    found = System()
    if sys.platform == "win32":
        from reconcile.adapters.win32 import Win32
        from reconcile.adapters.windows import Windows

        found = Windows(Win32())
    return found


_current = [_native()]


def current() -> System:
    """Returns the system whose rules apply to files."""
    return _current[-1]


@contextlib.contextmanager
def using(system: System) -> Iterator[None]:
    """Replaces the system for a while, in every thread."""
    _current.append(system)
    try:
        yield
    finally:
        _current.remove(system)
