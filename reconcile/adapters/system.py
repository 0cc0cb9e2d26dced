"""The operating system where systems differ over files: a value, so that another one can be handed in.

Code that touches files asks ``current()``. A process has one system; ``using`` puts another in its place for a while,
which is how tests run the adapters by the rules of Windows.
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
    """The system that files are on."""
    return _current[-1]


@contextlib.contextmanager
def using(system: System) -> Iterator[None]:
    """Puts another system in its place for a while, for every thread."""
    _current.append(system)
    try:
        yield
    finally:
        _current.remove(system)
