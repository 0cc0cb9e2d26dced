"""Writes docs/findings.md from the table of findings in reconcile/core/findings.py.

``python -m tools.findings`` writes it; a test keeps it current.
"""

from __future__ import annotations

import re
from pathlib import Path

from reconcile.core.findings import FINDINGS

FILE = Path(__file__).resolve().parent.parent / "docs" / "findings.md"
_HEAD = """\
# Findings

What `reconcile` found and did not, or could not, put right by itself. `plan --json` has each as
`{"code", "severity", "subject", "char_id", "message", "hint"}`. An `error` needs a person, a `warning` deserves one.
One that is known and accepted can be [waived](rules.md#waivers), whatever its severity.
`python -m tools.findings` writes this page from the program's own table.

| code | severity | what it means | what to do |
|---|---|---|---|
"""


def text() -> str:
    """The page as its file holds it."""
    rows = (
        f"| `{code.value}` | {kind.severity.value} | {kind.title}{kind.more} | {_shown(kind.hint)} |\n"
        for code, kind in FINDINGS.items()
    )
    return _HEAD + "".join(rows)


def _shown(template: str) -> str:
    """A template as people read it, with each value's name in capitals."""
    return re.sub(r"\{(\w+)[^}]*\}", lambda found: found[1].upper(), template)


def main() -> int:
    """Writes the page."""
    FILE.write_text(text(), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
