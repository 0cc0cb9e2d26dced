"""Whether a process is still there, by what Linux says."""

from __future__ import annotations

from pathlib import Path


def is_running(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
