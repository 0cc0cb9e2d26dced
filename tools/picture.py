"""Draws docs/plan.svg, the README's picture, from the program's own output: ``python -m tools.picture``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "plan.svg"
COMMAND = ("plan", "--char-id", "rem_2", "--char-id", "miku", "--char-id", "rem")
WIDTH = 118
THEME = TerminalTheme(
    (24, 26, 32),
    (214, 218, 228),
    [
        (24, 26, 32), (240, 113, 120), (152, 195, 121), (229, 192, 123),
        (97, 175, 239), (198, 146, 222), (86, 182, 194), (214, 218, 228),
    ],
    [
        (120, 126, 140), (240, 113, 120), (152, 195, 121), (229, 192, 123),
        (97, 175, 239), (198, 146, 222), (86, 182, 194), (255, 255, 255),
    ],
)  # fmt: skip


def output(folder: Path) -> str:
    """What ``reconcile plan`` prints in the demo's studio, with colours."""
    from reconcile.commands.demo import build

    build(folder)
    environment = {**os.environ, "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "reconcile", *COMMAND, "--color", "always", "--quiet"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.replace(str(folder), "/srv/studio")


def svg(text: str) -> str:
    """The output as a picture of a terminal; it asks no other host for fonts."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, markup=False, highlight=False, emoji=False)
        console.print(Text.from_ansi(f"$ reconcile {' '.join(COMMAND)}\n\n{text.rstrip()}"), soft_wrap=False)
        drawn = console.export_svg(title="reconcile", theme=THEME, unique_id="plan")
    drawn = re.sub(r"@font-face\s*\{[^}]*\}", "", drawn)
    return re.sub(r"[ \t]+$", "", drawn, flags=re.MULTILINE).replace("Fira Code", "Menlo, Consolas, DejaVu Sans Mono")


def main() -> None:
    """Writes the picture."""
    with tempfile.TemporaryDirectory() as folder:
        PICTURE.write_text(svg(output(Path(folder))), encoding="utf-8")


if __name__ == "__main__":
    main()
