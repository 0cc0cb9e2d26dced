"""Processes that this one starts: which program is Python, and how to wait for one."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time

from reconcile.adapters.system import current

NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)
"""On Windows a program started by a process without a console would get its own window, which a click can close."""
_PYTHONS = ("python", "pypy", "graalpy")
_GLANCE = 0.2
"""Seconds: on Windows, Python hears no Ctrl-C during a longer wait."""


def is_python() -> bool:
    """Whether this program is an interpreter, not another one with Python embedded."""
    name = os.path.basename(sys.executable or "").lower()
    return name.startswith(_PYTHONS) and not getattr(sys, "frozen", False)


def ended(child: subprocess.Popen[bytes], seconds: float = math.inf) -> int:
    """Waits for the end of a process; returns its exit code. Raises subprocess.TimeoutExpired."""
    if seconds == math.inf and not current().is_windows:
        return child.wait()
    end = time.monotonic() + seconds
    while True:
        left = max(0.0, end - time.monotonic())
        try:
            return child.wait(min(left, _GLANCE))
        except subprocess.TimeoutExpired:
            if not left:
                raise
