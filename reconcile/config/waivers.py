"""Reads the ``[[waiver]]`` tables of the rules file."""

from __future__ import annotations

import datetime
import difflib

from reconcile.config.toml import Table
from reconcile.core.changes import Code
from reconcile.core.waivers import Waiver


def read_waivers(top: Table) -> tuple[Waiver, ...]:
    """Returns every waiver, in order. Raises ConfigError."""
    return tuple(map(_waiver, top.tables("waiver", {"code", "subject", "reason", "until"})))


def _waiver(table: Table) -> Waiver:
    written = table.text("code")
    code = next((each for each in Code if each.value == written), None)
    if code is None:
        near = difflib.get_close_matches(written, [each.value for each in Code], 1)
        hint = f"did you mean {near[0]!r}?" if near else "docs/findings.md has every code"
        raise table.error("code", f"code = {written!r} is not the code of a finding", hint)
    if code is Code.WAIVER_EXPIRED:
        raise table.error("code", "a waiver that has run out cannot be waived", "give it another day, or remove it")
    texts = {key: table.text(key) for key in ("subject", "reason")}
    for key, text in texts.items():
        if not text.strip():
            right = 'the path, URI or document of the finding, or "*"' if key == "subject" else "why it is accepted"
            raise table.error(key, f"the {key} of a waiver is empty", f"write {right}")
    return Waiver(code, **texts, until=table.value("until", datetime.date, None))
