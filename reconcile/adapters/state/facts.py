"""What is remembered of the last runs: how many files there were, the last good run, what waivers took, how fast runs
are."""

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
    """Facts about the runs of one project, kept in its state."""

    @property
    @abstractmethod
    def state(self) -> State:
        """The state that keeps them."""

    @property
    @abstractmethod
    def files_of(self) -> str:
        """Where the local files are: the name under which their count is remembered."""

    @property
    def knows_files(self) -> bool:
        """Whether the local root was ever seen."""
        return self.state.fact(self._root_fact) is not None

    @property
    def files_held(self) -> int:
        """How many files that rules match the local root held when it was last seen; 0 if that is not known."""
        found = self.state.fact(self._root_fact)
        return found if isinstance(found, int) else 0

    def note_files(self, count: int) -> None:
        """Remembers how many files that rules match the local root holds; 0 if it may be empty. If the root is missing
        later, that is then not a mistake in the rules; if it has no files, it is not taken for a new one."""
        if self.state.fact(self._root_fact) != count:
            self.state.remember_fact(self._root_fact, count)

    @property
    def _root_fact(self) -> str:
        return f"held files: {self.files_of}"

    @property
    def last_good_run(self) -> str | None:
        """When a run of everything last left nothing undone (RFC 3339); None if that is not known."""
        found = self.state.fact(_GOOD_RUN)
        return found if isinstance(found, str) else None

    def note_good_run(self, when: str, now: str) -> None:
        """Remembers that a run of everything left nothing undone; ``when`` is when it looked."""
        known = self.last_good_run or ""
        # Applying an old plan does not hide a later run; a time in the future came from a wrong clock.
        if not when < known <= now:
            self.state.remember_fact(_GOOD_RUN, when)

    @property
    def waivers_used(self) -> dict[str, int]:
        """How many findings each waiver took, by its name, when everything was last planned."""
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(str(self.state.fact(_WAIVERS)), type=dict[str, int])
        return {}

    def note_waivers(self, counts: Mapping[str, int]) -> None:
        """Remembers how many findings each waiver took."""
        self.state.remember_fact(_WAIVERS, msgspec.json.encode(counts).decode())

    @property
    def paces(self) -> list[Pace]:
        """How fast the last runs were, oldest first."""
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(str(self.state.fact(_PACES)), type=list[Pace])
        return []

    def note_pace(self, pace: Pace) -> None:
        """Remembers how fast a run was."""
        known = self.paces
        paces = remembered(known, pace)
        if paces != known:
            self.state.remember_fact(_PACES, msgspec.json.encode(paces).decode())
