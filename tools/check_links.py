"""Finds dead links in the project's Markdown: relative paths and anchors. Uses no network.

``python -m tools.check_links [FOLDER]`` lists each as ``file:line: target: why`` and exits with 1 if there are any.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
BUILT = {"build", "dist", "demo", "node_modules"}

LINK = re.compile(r"\]\(\s*(?:<([^>]*)>|([^()\s]*(?:\([^()\s]*\)[^()\s]*)*))")
DEFINITION = re.compile(r"^ {0,3}\[[^\]^][^\]]*\]:\s*<?([^\s>]+)")
ATTRIBUTE = re.compile(r"<(?:a|img|source)\b[^>]*?\b(?:href|src)\s*=\s*[\"']([^\"']*)[\"']", re.IGNORECASE)
ANCHOR = re.compile(r"<[a-z]+\b[^>]*?\b(?:id|name)\s*=\s*[\"']([^\"']+)[\"']", re.IGNORECASE)
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)(?:\s+#+)?\s*$")
FENCE = re.compile(r"^\s*(`{3,}|~{3,})")
SPAN = re.compile(r"(`+)(?!`)(?:.*?[^`])\1(?!`)")
SCHEME = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)


def markdown(root: Path) -> Iterator[Path]:
    """Every Markdown file below the folder, except in hidden and built folders."""
    for folder in [root, *sorted(path for path in root.iterdir() if path.is_dir())]:
        if folder == root:
            yield from sorted(root.glob("*.md"))
        elif not folder.name.startswith(".") and folder.name not in BUILT:
            yield from sorted(folder.rglob("*.md"))


def prose(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not in a fenced block, with their numbers from 1."""
    fence = ""
    for number, line in enumerate(text.splitlines(), 1):
        mark = FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1][0] == fence[0] and len(mark[1]) >= len(fence):
            fence = ""
        elif not fence:
            yield number, line


def targets(text: str) -> Iterator[tuple[int, str]]:
    """What each link, image, reference and HTML attribute points at, with its line."""
    for number, line in prose(text):
        bare = SPAN.sub("``", line)
        for match in LINK.finditer(bare):
            yield number, match[1] if match[1] is not None else match[2]
        for pattern in (DEFINITION, ATTRIBUTE):
            for match in pattern.finditer(bare):
                yield number, match[1]


def slug(heading: str) -> str:
    """The anchor that code hosts make from a heading: lower case, words and hyphens only."""
    shown = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    kept = (char for char in shown.lower() if char in " -_" or unicodedata.category(char)[0] in "LMN")
    return "".join(kept).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """Every anchor of a page; the second heading with one name gets ``-1``, and so on."""
    found: dict[str, int] = {}
    named = set()
    for _, line in prose(text):
        named.update(ANCHOR.findall(line))
        heading = HEADING.match(line)
        if heading:
            base = slug(heading[1])
            named.add(f"{base}-{found[base]}" if base in found else base)
            found[base] = found.get(base, 0) + 1
    return named


def exists(path: Path) -> bool:
    """Whether the path exists in exactly this spelling, even if the file system ignores case."""
    return path.exists() and (
        path.name in {"", ".."} or any(path.name == other.name for other in path.parent.iterdir())
    )


def fault(root: Path, page: Path, target: str) -> str:
    """Why the target is dead, or an empty text."""
    name, _, anchor = target.partition("#")
    path = (page.parent / unquote(name)).resolve() if name else page
    if name.startswith("/") or not path.is_relative_to(root):
        return "leads out of the project"
    if not exists(path):
        return "is not there"
    if anchor and path.suffix == ".md" and unquote(anchor) not in anchors(path.read_text("utf-8")):
        return f"has no heading that gives #{anchor}"
    return ""


def dead_links(root: Path) -> Iterator[str]:
    """One line for each dead link below the folder."""
    for page in markdown(root):
        for number, target in targets(page.read_text("utf-8")):
            why = "" if SCHEME.match(target) else fault(root, page, target)
            if why:
                yield f"{page.relative_to(root).as_posix()}:{number}: {target or '(nothing)'}: {why}"


def main(arguments: list[str]) -> int:
    """Lists the dead links."""
    found = list(dead_links(Path(arguments[0]).resolve() if arguments else ROOT))
    sys.stderr.writelines(f"{line}\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
