"""The documentation as a site: ``python -m tools.site`` writes build/site from the repository's own Markdown.

The pages are copied to build/pages with the repository's folders, so that links between them, and to the files that
they name, work there too. The generator and its theme are in an environment of their own, .venv-docs, made from
requirements/docs.txt; nothing else needs them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from tools.check_links import SCHEME, markdown, targets
from tools.make_venv import interpreter

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "build" / "pages"
LOCK = ROOT / "requirements" / "docs.txt"
ENVIRONMENT = ROOT / ".venv-docs"
_ITEM = re.compile(r"( *)(?:\d+\.|[-*]) ")
_FENCE = re.compile(r" *(```|~~~)")


def collect(root: Path, pages: Path) -> None:
    """Copies every page, and every file that one links to, into a new folder."""
    shutil.rmtree(pages, ignore_errors=True)
    for page in markdown(root):
        copy = pages / page.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = page.read_text("utf-8")
        copy.write_text(indented(text), "utf-8")
        for file in _linked(root, page, text):
            beside = pages / file.relative_to(root)
            beside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, beside)

    _list_decisions(pages / "docs" / "decisions")


def _list_decisions(folder: Path) -> None:
    """Writes the navigation's page about the decisions, whose number grows."""
    notes = {path.name: path.read_text("utf-8").partition("\n")[0].lstrip("# ") for path in sorted(folder.glob("*.md"))}
    lines = [f"- [{title}]({name})" for name, title in notes.items()]
    folder.joinpath("README.md").write_text("\n".join(["# Decisions", "", *lines, ""]), "utf-8")


def _linked(root: Path, page: Path, text: str) -> Iterator[Path]:
    for _, target in targets(text):
        name = unquote(target.partition("#")[0])
        path = (page.parent / name).resolve()
        if name and not SCHEME.match(target) and path.suffix != ".md" and path.is_file() and path.is_relative_to(root):
            yield path


def indented(text: str) -> str:
    """The page as the generator reads lists: what belongs to an item is indented by four for each level, while code
    hosts use the width of the item's mark; and a list begins after a blank line."""
    out: list[str] = []
    levels: list[int] = []
    """At which column the text of each item begins that is open."""
    fence = ""
    for line in text.splitlines():
        blank, column = not line.strip(), len(line) - len(line.lstrip(" "))
        mark = _FENCE.match(line)
        goes_on = bool(levels)
        if not fence and not blank:
            while levels and column < levels[-1] and not (_ITEM.match(line) and column >= levels[-1]):
                levels.pop()
        item = None if fence or blank else _ITEM.match(line)
        base = levels[-1] if levels else 0
        shifted = " " * (4 * len(levels)) + line[base:] if not blank else ""
        if item and not goes_on and out and out[-1].strip():
            out.append("")
        out.append(shifted)
        if item:
            levels.append(item.end())
        if mark:
            fence = "" if fence == mark[1] else fence or mark[1]
    return "\n".join(out) + "\n"


def prepare() -> Path:
    """The Python of the environment, which is made if it is not there or was made from another lock."""
    python, stamp = interpreter(ENVIRONMENT), ENVIRONMENT / "made.stamp"
    made_from = hashlib.sha256(f"{sys.version}\n".encode() + LOCK.read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text("ascii") != made_from:
        sys.stderr.write(f"Making {ENVIRONMENT}; this takes a minute the first time.\n")
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        options = ("--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary=:all:")
        subprocess.run([str(python), "-m", "pip", "install", *options, "-r", str(LOCK)], check=True)
        stamp.write_text(made_from, "ascii")
    return python


def main(arguments: list[str]) -> int:
    """Builds the site; a dead link, and a page that the navigation does not have, are failures."""
    collect(ROOT, PAGES)
    # Not --quiet: it would hide the warnings for which a strict build fails.
    command = [str(prepare()), "-m", "mkdocs", "build", "--strict", *arguments]
    code = subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}).returncode
    if code == 0:
        sys.stderr.write(f"Written: {ROOT / 'build' / 'site' / 'index.html'}\n")
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
