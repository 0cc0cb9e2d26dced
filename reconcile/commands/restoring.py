"""Makes the files of a restore plan. Each object is read into a temporary file next to its place, hashed while it
arrives, and moved into place when it is complete. After a stop or a kill the next run continues if the object is still
the same.
"""

from __future__ import annotations

import datetime
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from functools import partial

from reconcile.adapters.lanes import Lanes
from reconcile.adapters.system import current
from reconcile.adapters.workers import Breaker, results
from reconcile.commands.measuring import Sum, content_from, measure
from reconcile.core import report as reports
from reconcile.core.changes import Code
from reconcile.core.clashes import Places
from reconcile.core.cost import Used
from reconcile.core.encoding import BadEncoding
from reconcile.core.errors import NotThere, Refused, Rejected, SourceChanged, SourceError, StoreError
from reconcile.core.events import Advanced, ChangeDone, Listener, Phase, PhaseDone, PhaseStarted, Warned, silent
from reconcile.core.names import fold
from reconcile.core.portable import Portable
from reconcile.core.report import Outcome, OutcomeKind, Problem, Report
from reconcile.core.restoration import Restore, RestoreBeside, RestorePlan
from reconcile.core.rows import Agreed
from reconcile.project import OpenProject

_ON_THE_WAY = Problem("interrupted", "stopped on the way", "the next run goes on from there", transient=True)


def execute(
    project: OpenProject, plan: RestorePlan, *, listener: Listener = silent, stop: threading.Event | None = None
) -> Report:
    """Makes the files. A failure of one is an outcome of the report, never an exception. Once ``stop`` is set, the run
    ends at the next block of bytes; what has arrived is kept for the next run.

    Raises Refused if the root lost its files, unless the project was opened with ``allows_empty``.
    """
    check(project, plan)
    return _RestoreRun(project, plan, listener, stop or threading.Event()).execute()


def check(project: OpenProject, plan: RestorePlan) -> None:
    """Checks that files may be made in the root. Raises Refused if it has lost all that it held."""
    is_emptied = any(each.code is Code.ROOT_EMPTIED for each in plan.findings)
    if plan.actions and is_emptied and not project.options.allows_empty:
        raise Refused(
            f"the local root {project.settings.root} held files and is empty: is its drive not mounted?",
            hint="mount it, or add --allow-empty to make the files there anyway",
        )


class _StoppedReading(Portable, Exception):
    """The run was stopped while bytes were arriving."""


class _RestoreRun:
    """One run of a restore."""

    def __init__(self, project: OpenProject, plan: RestorePlan, listener: Listener, stop: threading.Event) -> None:
        self._project = project
        self._plan = plan
        self._lanes = project.lanes
        self._listener = listener
        self._stop = stop
        self._lock = threading.Lock()
        self._breaker = Breaker(counted=(SourceError, StoreError))
        self._read = 0
        self._agreed: list[Agreed] = []

    def execute(self) -> Report:
        started, looking = time.monotonic(), self._project.meter.take()
        actions = self._plan.actions
        outcomes: dict[str, Outcome] = {}
        if actions:
            self._listener(PhaseStarted(Phase.RESTORING, len(actions), sum(action.size for action in actions)))
            places = Places(fold)
            turns = [(action, places.take(action.path) is None) for action in actions]
            for is_first in (True, False):
                jobs = [partial(self._restore, action) for action, takes_place in turns if takes_place is is_first]
                at_once: int | Lanes = self._lanes if is_first else 1
                for outcome in results(jobs, at_once, breaker=self._breaker, halted=self._stop.is_set):
                    outcomes[outcome.id] = outcome
                    self._listener(ChangeDone(outcome))
                    self._listener(Advanced(Phase.RESTORING, 1))
            self._listener(PhaseDone(Phase.RESTORING))
        self._project.agreed.remember(self._agreed)
        tripped = self._breaker.tripped
        if tripped is not None:
            self._listener(Warned(tripped.sentence))
        waiting = tripped or Problem("interrupted", "the run stopped before it", transient=True)
        listed = [outcomes.get(each.id) or each.outcome(OutcomeKind.NOT_STARTED, waiting) for each in actions]
        return reports.build(
            f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
            listed,
            self._plan.findings,
            moved=self._read,
            seconds=round(time.monotonic() - started, 3),
            interrupted=self._stop.is_set() and any(each.outcome is OutcomeKind.NOT_STARTED for each in listed),
            complete=self._plan.complete,
            used=Used(looking, self._project.meter.take()),
        )

    def _restore(self, action: Restore) -> Outcome:
        try:
            content = self._content(action) if action.encoding else Sum(action.size, action.crc32c)
            if isinstance(content, Problem):
                return action.outcome(OutcomeKind.FAILED, content)
            made = self._place(action, content)
        except _StoppedReading:
            return action.outcome(OutcomeKind.NOT_STARTED, _ON_THE_WAY)
        except (SourceChanged, NotThere) as error:
            return action.outcome(OutcomeKind.STALE, Problem.of(error))
        except (SourceError, StoreError) as error:
            self._breaker.failed(error)
            return action.outcome(OutcomeKind.FAILED, Problem.of(error))
        self._breaker.succeeded()
        self._lanes.finished()
        if not isinstance(action, RestoreBeside):
            self._agreed.append(Agreed(action.key, content.size, content.crc32c, action.generation))
        return action.outcome(OutcomeKind.APPLIED if made else OutcomeKind.ALREADY)

    def _content(self, action: Restore) -> Sum | Problem:
        """Returns size and checksum of the content of an encoded object, or why no file can be made of it. The object
        is read to its end and not kept, because nothing is written before its stored bytes are verified and the
        unpacked size is known."""
        found = measure(self._told(self._body(action, 0)), action.size, action.encoding)
        by_hand = f"fetch it by hand: gcloud storage cp {current().quoted(action.uri)} FILE"
        if found.stored != Sum(action.size, action.crc32c):
            raise Rejected(f"the bytes that came for {action.path} are not those of its checksum", hint="run again")
        if found.content is None:
            return Problem(Rejected.code, f"the object {found.why}, so no file is made of it; {by_hand}")
        if not found.content.size:
            return Problem(Rejected.code, "the object holds nothing once it is unpacked, so no file is made of it")
        return found.content

    def _told(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._arrived(len(chunk))
            yield chunk

    def _arrived(self, moved: int) -> None:
        self._listener(Advanced(Phase.RESTORING, 0, moved))

    def _place(self, action: Restore, content: Sum) -> bool:
        def unpacked(offset: int) -> Iterator[bytes]:
            try:
                yield from content_from(self._body(action, 0), action.size, offset)
            except BadEncoding as error:
                raise Rejected(f"what came for {action.path} the second time {error}", hint="run again") from error

        return self._project.places.place(
            action.path,
            unpacked if action.encoding else lambda offset: self._body(action, offset),
            size=content.size,
            crc32c=content.crc32c,
            generation=action.generation,
            modified_ns=_nanoseconds(action.updated),
            # The stored bytes of an encoded object were counted when they were verified.
            progress=None if action.encoding else self._arrived,
        )

    def _body(self, action: Restore, offset: int) -> Iterator[bytes]:
        encoded = bool(action.encoding)
        reading = self._project.objects.read(action.key, generation=action.generation, offset=offset, encoded=encoded)
        for chunk in reading:
            if self._stop.is_set():
                raise _StoppedReading
            with self._lock:
                self._read += len(chunk)
            self._lanes.moved(len(chunk))
            yield chunk


def _nanoseconds(updated: str) -> int | None:
    """Returns an RFC 3339 time in nanoseconds since the epoch; None if it cannot be read. The restored file gets this
    time: with the present one it would look like the newest of several."""
    try:
        since = datetime.datetime.fromisoformat(updated) - _EPOCH
    except (ValueError, TypeError):  # the latter for a time without a time zone
        return None
    return int(since / datetime.timedelta(microseconds=1)) * 1000


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
