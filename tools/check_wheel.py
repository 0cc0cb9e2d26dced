"""Builds the wheel, looks into it, and runs it in an environment that has only the runtime dependencies.

This alone notices a module that imports a development tool, or a file that is missing in the package.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tools.make_venv import ROOT, interpreter

WANTED = (
    "reconcile/py.typed",
    "reconcile/__main__.py",
    "reconcile/views/templates/page.css",
    "reconcile/views/templates/page.html.j2",
    "reconcile/views/templates/page.js",
    "reconcile/views/templates/page.md.j2",
    "asset_map.toml",
    "licenses/LICENSE",
)
"""Each must end some file's name in the wheel; the map is what ``reconcile init`` writes."""
SMOKE = (
    ("-m", "reconcile", "--help"),
    (
        "-c",
        "import reconcile.adapters.gcs.store, reconcile.adapters.firestore.store, "
        "google.cloud.storage, google.cloud.firestore",
    ),
)


def run(*command: str | Path, cwd: Path) -> None:
    """Runs a command, and shows its output only if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise SystemExit(f"check_wheel: this failed: {' '.join(map(str, command))}")


def pip(venv: Path, *arguments: str | Path) -> None:
    """Installs into another environment with the pip of this one."""
    quiet = ("-qq", "--no-input", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "--python", interpreter(venv), "install", *quiet, *arguments, cwd=ROOT)


def main() -> int:
    """Builds, looks, installs, runs."""
    with tempfile.TemporaryDirectory(prefix="wheel-") as name:
        folder = Path(name)
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
        (wheel,) = folder.glob("*.whl")
        names = zipfile.ZipFile(wheel).namelist()
        missing = [wanted for wanted in WANTED if not any(name.endswith(wanted) for name in names)]
        foreign = [name for name in names if not name.startswith("reconcile")]
        if missing or foreign:
            raise SystemExit(f"check_wheel: {wheel.name} lacks {missing} and should not hold {foreign}.")
        venv = folder / "venv"
        run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=folder)
        pip(venv, "--require-hashes", "--only-binary=:all:", "--no-compile", "-r", "requirements/run.txt")
        pip(venv, "--no-deps", "--no-index", wheel)
        for arguments in SMOKE:
            run(interpreter(venv), *arguments, cwd=folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
