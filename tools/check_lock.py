"""Says on which systems, and with which Pythons, the program's lock can be installed from wheels alone.

``python -m tools.check_lock`` asks the package index through uv, and downloads no package; ``make lock`` ends with it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = "requirements/run.txt"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PROMISED = {
    "Linux, x86-64": "x86_64-unknown-linux-gnu",
    "Linux, ARM": "aarch64-unknown-linux-gnu",
    "macOS, Apple silicon": "aarch64-apple-darwin",
    "Windows, x86-64": "x86_64-pc-windows-msvc",
}
TOLD = {"macOS, Intel": "x86_64-apple-darwin", "Windows, ARM": "aarch64-pc-windows-msvc"}
"""Reported, but no error. This Windows runs an x86-64 Python too."""

Ask = Callable[[str, str], str]
"""What prevents an installation on a platform (uv's name for it) with a Python; empty if nothing does."""


def ask_uv(platform: str, python: str) -> str:
    """What uv says about the lock."""
    command = ["uv", "pip", "compile", LOCK, "--no-deps", "--only-binary", ":all:", "--quiet", "--no-config"]
    asked = subprocess.run(
        [*command, "--python-platform", platform, "--python-version", python],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    return why(asked.stderr) if asked.returncode else ""


def why(said: str) -> str:
    """The reason in what uv says."""
    wheel = re.search(r"(\S+?)==(\S+) has no (usable )?wheels", said)
    return f"no wheel of {wheel[1]} {wheel[2]}" if wheel else " ".join(said.split()) or "uv gives no reason"


def report(ask: Ask = ask_uv) -> tuple[list[str], bool]:
    """A line for each system, and whether all that is promised holds."""
    systems = {**PROMISED, **TOLD}
    pairs = [(name, python) for name in systems for python in PYTHONS]
    with ThreadPoolExecutor(4) as threads:
        answers = dict(zip(pairs, threads.map(lambda pair: ask(systems[pair[0]], pair[1]), pairs), strict=True))
    lines = []
    for name in systems:
        pythons: dict[str, list[str]] = {}
        for python in PYTHONS:
            pythons.setdefault(answers[name, python], []).append(python)
        said = [
            f"not with Python {', '.join(some)} ({why})" if why else f"Python {', '.join(some)}"
            for why, some in pythons.items()
        ]
        lines.append(f"{name}: {'; '.join(said)}")
    return lines, not any(answers[name, python] for name in PROMISED for python in PYTHONS)


def main() -> int:
    """Prints the lines; 1 if the lock cannot be installed on a system that is promised."""
    if shutil.which("uv") is None:
        sys.stderr.write("check_lock: uv is not on the PATH; install it (pipx install uv).\n")
        return 1
    lines, holds = report()
    sys.stdout.writelines(f"{LOCK} on {line}\n" for line in lines)
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
