"""What is remembered of the last runs: when one of everything was good, what waivers took, how fast they were."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec

from reconcile.adapters.state.store import State
from reconcile.core.cost import Pace, remembered

_GOOD_RUN = "last good run"
_WAIVERS = "findings of each waiver"
_PACES = "pace of the last runs"


class RunFacts:
    """The facts of one project, as far as its folder remembers them."""

    @property
    @abstractmethod
    def state(self) -> State:
        """Where they are kept."""

    @property
    def last_good_run(self) -> str | None:
        """When a run of everything last left nothing undone (RFC 3339), as far as this folder remembers."""
        found = self.state.fact(_GOOD_RUN)
        return found if isinstance(found, str) else None

    def note_good_run(self, when: str, now: str) -> None:
        """Remembers that a run of everything, which saw the worlds then, left nothing undone."""
        known = self.last_good_run or ""
        # An old plan does not take the place of a later run; a time that has not come yet was a wrong clock's.
        if not when < known <= now:
            self.state.remember_fact(_GOOD_RUN, when)

    @property
    def waivers_used(self) -> dict[str, int]:
        """How many findings each waiver took when everything was last looked at, by the waiver's name."""
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(str(self.state.fact(_WAIVERS)), type=dict[str, int])
        return {}

    def note_waivers(self, counts: Mapping[str, int]) -> None:
        """Remembers how many findings each waiver took."""
        self.state.remember_fact(_WAIVERS, msgspec.json.encode(counts).decode())

    @property
    def paces(self) -> Sequence[Pace]:
        """How fast the last runs were, oldest first."""
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(str(self.state.fact(_PACES)), type=list[Pace])
        return ()

    def note_pace(self, pace: Pace) -> None:
        """Remembers how fast a run was."""
        self.state.remember_fact(_PACES, msgspec.json.encode(remembered(self.paces, pace)).decode())
