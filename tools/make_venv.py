"""Makes the virtual environment .venv, or finds it whole: ``python -m tools.make_venv run|dev|beam``.

``run`` is what the program needs, ``dev`` that and the tools, and ``beam`` (in .venv-beam) these with Apache Beam; all
from the hashed lock files, with the project itself installed as editable. The stamp is written last and holds a digest
of all that went in, so an environment that was killed half-made, or made from other locks or by another Python, is made
again from nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {
    "run": ("requirements/run.txt", "requirements/build.txt"),
    "dev": ("requirements/dev.txt",),
    "beam": ("requirements/beam.txt",),
}
FOLDERS = {"run": ".venv", "dev": ".venv", "beam": ".venv-beam"}
ENOUGH = {"run": ("run", "dev"), "dev": ("dev",), "beam": ("beam",)}
"""The kinds of environment that serve each kind."""


class Trouble(Exception):
    """The environment cannot be made; the message says why and what to do."""


def interpreter(venv: Path) -> Path:
    """The environment's own Python."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def stamp(venv: Path, kind: str) -> Path:
    """The file that says the environment is whole, and of what."""
    return venv / f"made-{kind}.stamp"


def digest(root: Path, kind: str) -> str:
    """Changes with anything that the environment is made from."""
    state = hashlib.sha256(f"{sys.version}\n{root}\n".encode())
    for name in ("pyproject.toml", "tools/make_venv.py", *LOCKS[kind]):
        state.update(hashlib.sha256((root / name).read_bytes()).digest())
    return state.hexdigest()


def whole(root: Path, kind: str) -> bool:
    """Whether an environment that serves this kind is there, complete and up to date."""
    venv = root / FOLDERS[kind]
    return os.access(interpreter(venv), os.X_OK) and any(
        stamp(venv, made).is_file() and stamp(venv, made).read_text("ascii") == digest(root, made)
        for made in ENOUGH[kind]
    )


def make(root: Path, kind: str) -> None:
    """Makes the environment from nothing, whatever stood there. Raises Trouble."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise Trouble(
            f"{sys.executable} has no {' and no '.join(missing)}: install it (Debian and Ubuntu: apt-get install "
            "python3-venv), or run this with another Python: make PYTHON=/path/to/python3."
        )
    venv = root / FOLDERS[kind]
    sys.stderr.write(f"Making {venv} ({kind}); this takes a minute the first time.\n")
    # With .venv activated, python3 is the one in it: the environment cannot be made by what it replaces.
    base: str = getattr(sys, "_base_executable", "") or sys.executable
    call(root, base, "-m", "venv", "--clear", str(venv))
    # Hashes pin what is installed only where nothing is built: a build would fetch tools that no hash covers.
    locks = [part for name in LOCKS[kind] for part in ("-r", name)]
    pip(venv, "--require-hashes", "--only-binary=:all:", *locks)
    pip(venv, "--no-deps", "--no-index", "--no-build-isolation", "--editable", ".")
    unfinished = venv / "made.part"
    unfinished.write_text(digest(root, kind), "ascii")
    os.replace(unfinished, stamp(venv, kind))


def pip(venv: Path, *arguments: str) -> None:
    """Installs into the environment; -qq leaves errors."""
    call(
        venv.parent,
        str(interpreter(venv)),
        *("-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check"),
        *arguments,
    )


def call(root: Path, *command: str) -> None:
    """Runs one command in the project folder. Raises Trouble where it fails."""
    code = subprocess.run(command, cwd=root, check=False).returncode
    if code:
        raise Trouble(
            f"this failed with code {code}, for the reason above: {' '.join(command)}\nFix that, then run this again."
        )


def main(kinds: list[str]) -> int:
    """Makes what is not whole."""
    try:
        for kind in kinds:
            if not whole(ROOT, kind):
                make(ROOT, kind)
    except Trouble as trouble:
        sys.stderr.write(f"make_venv: {trouble}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("make_venv: interrupted; the next run starts over.\n")
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
