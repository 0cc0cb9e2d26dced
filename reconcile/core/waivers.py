"""Waivers: findings that the rules file accepts, with a reason and until a date."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from functools import cached_property

import msgspec

from reconcile.core.changes import Code, Finding
from reconcile.core.findings import make
from reconcile.core.names import nfc


class Waiver(msgspec.Struct, frozen=True, dict=True):
    """One ``[[waiver]]``. ``subject`` is literal except for ``*``, any text; ``until`` is its last day (UTC)."""

    code: Code
    subject: str
    reason: str
    until: datetime.date | None = None

    @property
    def name(self) -> str:
        """The waiver's identity."""
        return f"{self.code.value} {self.subject}"

    def is_over(self, today: datetime.date) -> bool:
        return self.until is not None and self.until < today

    def takes(self, finding: Finding) -> bool:
        """Whether the waiver covers the finding, in any Unicode form."""
        return finding.code is self.code and self._matches(nfc(finding.subject))

    def _matches(self, subject: str) -> bool:
        # Not a regular expression: with several stars it takes hours on a long name, and others may choose names.
        first, *others = self._parts
        if not others:
            return subject == first
        *middle, last = others
        at, end = len(first), len(subject) - len(last)
        if at > end or not subject.startswith(first) or not subject.endswith(last):
            return False
        for part in middle:
            found = subject.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True

    @cached_property
    def _parts(self) -> tuple[str, ...]:
        return tuple(nfc(self.subject).split("*"))


def waive(findings: Iterable[Finding], waivers: Sequence[Waiver], today: datetime.date) -> list[Finding]:
    """Returns the findings, the covered ones with the waiver's reason, and a warning for each expired waiver."""
    live = [each for each in waivers if not each.is_over(today)]
    over = [each for each in waivers if each.is_over(today)]
    expired = (make(Code.WAIVER_EXPIRED, each.subject, None, code=each.code.value, until=each.until) for each in over)
    return [*(_waived(finding, live) for finding in findings), *expired]


def used(findings: Iterable[Finding], waivers: Sequence[Waiver]) -> dict[str, int]:
    """Returns how many findings each waiver covers, by its name; one covered by several counts for each."""
    listed = list(findings)
    return {waiver.name: sum(map(waiver.takes, listed)) for waiver in waivers}


def _waived(finding: Finding, waivers: Sequence[Waiver]) -> Finding:
    taker = next((each for each in waivers if each.takes(finding)), None)
    return finding if taker is None else msgspec.structs.replace(finding, waived=taker.reason)
