"""Facts remembered from earlier runs: the number of files, the last good run, what waivers cover, and speeds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from reconcile.adapters.state.store import State
from reconcile.core.cost import Pace, remembered

_GOOD_RUN = "last good run"
_WAIVERS = "findings of each waiver"
_PACES = "pace of the last runs"


class RunFacts:
    """The facts about the runs of one project, kept in its state."""

    @property
    @abstractmethod
    def state(self) -> State:
        """The state that holds the facts."""

    @property
    @abstractmethod
    def files_of(self) -> str:
        """The location of the local files, under which their count is remembered."""

    @property
    def knows_files(self) -> bool:
        """Whether the local root was ever seen."""
        return self.state.fact(self._root_fact) is not None

    @property
    def files_held(self) -> int:
        """The number of files matching rules when the local root was last seen; 0 if unknown."""
        found = self.state.fact(self._root_fact)
        return found if isinstance(found, int) else 0

    def note_files(self, count: int) -> None:
        """Remembers how many files in the local root match rules; 0 if it may be empty.

        If the root is missing later, that is then no mistake in the rules; if it has no files, it is not mistaken for a
        new one.
        """
        if self.state.fact(self._root_fact) != count:
            self.state.remember_fact(self._root_fact, count)

    @property
    def _root_fact(self) -> str:
        return f"held files: {self.files_of}"

    @property
    def last_good_run(self) -> str | None:
        """When a run over everything last left nothing undone (RFC 3339); None if unknown."""
        found = self.state.fact(_GOOD_RUN)
        return found if isinstance(found, str) else None

    def note_good_run(self, when: str, now: str) -> None:
        """Remembers that a run over everything left nothing undone; ``when`` is when it read the stores."""
        known = self.last_good_run or ""
        # Applying an old plan does not hide a later run; a time in the future came from a wrong clock.
        if not when < known <= now:
            self.state.remember_fact(_GOOD_RUN, when)

    @property
    def waivers_used(self) -> dict[str, int]:
        """The number of findings that each waiver covered, by its name, when everything was last planned."""
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(str(self.state.fact(_WAIVERS)), type=dict[str, int])
        return {}

    def note_waivers(self, counts: Mapping[str, int]) -> None:
        """Remembers how many findings each waiver covered."""
        self.state.remember_fact(_WAIVERS, msgspec.json.encode(counts).decode())

    @property
    def paces(self) -> list[Pace]:
        """The speeds of the last runs, oldest first."""
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(str(self.state.fact(_PACES)), type=list[Pace])
        return []

    def note_pace(self, pace: Pace) -> None:
        """Remembers the speed of a run."""
        known = self.paces
        paces = remembered(known, pace)
        if paces != known:
            self.state.remember_fact(_PACES, msgspec.json.encode(paces).decode())
