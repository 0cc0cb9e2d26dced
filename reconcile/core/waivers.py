"""Waivers: findings that the rules file names as known and accepted, for a reason and until a day."""

from __future__ import annotations

import datetime
import re
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
        """What tells it from others."""
        return f"{self.code.value} {self.subject}"

    def is_over(self, today: datetime.date) -> bool:
        return self.until is not None and self.until < today

    def takes(self, finding: Finding) -> bool:
        """Whether the finding is one of those that it accepts, in whichever Unicode form."""
        return finding.code is self.code and self._pattern.fullmatch(nfc(finding.subject)) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(".*".join(map(re.escape, nfc(self.subject).split("*"))), re.DOTALL)


def waive(findings: Iterable[Finding], waivers: Sequence[Waiver], today: datetime.date) -> list[Finding]:
    """The findings, those that a waiver takes with its reason, and a warning for each waiver that has run out."""
    live = [each for each in waivers if not each.is_over(today)]
    over = [each for each in waivers if each.is_over(today)]
    expired = (make(Code.WAIVER_EXPIRED, each.subject, None, code=each.code.value, until=each.until) for each in over)
    return [*(_waived(finding, live) for finding in findings), *expired]


def used(findings: Iterable[Finding], waivers: Sequence[Waiver]) -> dict[str, int]:
    """How many findings each waiver takes, by its name; one that another one took counts for both."""
    listed = list(findings)
    return {waiver.name: sum(map(waiver.takes, listed)) for waiver in waivers}


def _waived(finding: Finding, waivers: Sequence[Waiver]) -> Finding:
    taker = next((each for each in waivers if each.takes(finding)), None)
    return finding if taker is None else msgspec.structs.replace(finding, waived=taker.reason)
