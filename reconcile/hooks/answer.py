"""The answer of a hand-over."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from reconcile.core.errors import ReconcileError


class HandedOver(msgspec.Struct, frozen=True):
    """What became of a call: the URIs of the files that are in the cloud, and why the others are not, or their record
    not in step, by the names that the call gave the files."""

    uris: dict[str, str] = {}
    problems: dict[str, ReconcileError] = {}

    def but(self, problems: Mapping[str, ReconcileError]) -> HandedOver:
        return HandedOver(self.uris, {**problems, **self.problems})
