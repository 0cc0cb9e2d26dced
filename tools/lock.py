"""Writes requirements/*.txt from pyproject.toml with uv; further arguments (``--upgrade``) go to uv.

Pins are kept if they still fit. One file is for every system and Python version, with hashes; the end of the output
says on which of them it can be installed from wheels alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tools import check_lock

ROOT = Path(__file__).resolve().parent.parent
# Neither a header nor the address of an index: the files say what to install, never from where.
STYLE = ("--universal", "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--quiet")


def compile_lock(name: str, *arguments: str, given: str | None = None) -> None:
    """One lock file; ``given`` are requirements for uv to read from its standard input."""
    command = ["uv", "pip", "compile", *STYLE, "--python-version", "3.11", *arguments, "-o", f"requirements/{name}.txt"]
    subprocess.run(command, cwd=ROOT, input=given, text=True, check=True, stdout=subprocess.DEVNULL)


def main(arguments: list[str]) -> int:
    """The development lock first: the others take their versions from it, except Beam's, whose bounds exclude some."""
    if shutil.which("uv") is None:
        sys.stderr.write("lock: uv is not on the PATH; install it (pipx install uv) and run make lock again.\n")
        return 1
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["build-system"]["requires"]
    try:
        compile_lock("dev", "pyproject.toml", "--group", "dev", "--extra", "pictures", *arguments)
        compile_lock("run", "pyproject.toml", "-c", "requirements/dev.txt", *arguments)
        compile_lock("docs", "--group", "docs", *arguments)
        # Without the packages for Dataflow, which are not all in wheels: the tests run on the local runner.
        compile_lock("beam", "pyproject.toml", "-", "--group", "dev", *arguments, given="apache-beam>=2.77,<3")
        compile_lock("build", "-", "-c", "requirements/dev.txt", *arguments, given="\n".join(backend))
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"lock: uv failed with code {error.returncode}, for the reason above.\n")
        return 1
    return check_lock.main()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
