"""The table of findings: every code has a row, every template its values, and a value is never read as a template."""

from __future__ import annotations

import re

import pytest

from reconcile.core import findings, restoration, sides
from reconcile.core.changes import Code
from reconcile.core.findings import FINDINGS, Form, make

HOMES = (findings, restoration, sides)
FORMS = {name: each for home in HOMES for name, each in vars(home).items() if isinstance(each, Form)}
SAID: list[Code | Form] = [*Code, *FORMS.values()]
IDS = [*(code.value for code in Code), *FORMS]
HOSTILE = "{why} {0.__class__} %s $x [red]<b>\x1b[31m"


def values_of(what: Code | Form) -> dict[str, str | int]:
    """A value for each place of the templates; those that are shown as numbers get one."""
    said = what if isinstance(what, Form) else FINDINGS[what]
    hint = said.hint or FINDINGS[what.code if isinstance(what, Form) else what].hint
    places = re.findall(r"\{(\w+)([^}]*)\}", said.message + hint)
    return {name: 1234 if "," in rest else HOSTILE for name, rest in places}


def test_every_code_has_a_row() -> None:
    assert set(FINDINGS) == set(Code)


@pytest.mark.parametrize("what", SAID, ids=IDS)
def test_a_finding_is_made_of_its_row_and_values_that_are_left_as_they_are(what: Code | Form) -> None:
    code = what.code if isinstance(what, Form) else what
    values = {"why": HOSTILE, **values_of(what)}
    found = make(what, "subject", "rem", **values)  # type: ignore[arg-type]
    assert (found.code, found.severity) == (code, FINDINGS[code].severity)
    assert (found.subject, found.char_id) == ("subject", "rem")
    assert HOSTILE in found.message
    assert found.hint


def test_a_reason_stands_at_the_end_of_a_message_that_does_not_place_it() -> None:
    assert make(Code.UNREADABLE_FILE, "a.png", None, why="a folder").message == "cannot be read: a folder"
    assert make(Code.UNREADABLE_FILE, "a.png", None).message == "cannot be read"
