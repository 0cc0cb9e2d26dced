"""The journal of a run: what it is about to write, the outcome of each change, and how it ended."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from reconcile.core.changes import Change, Copy, CreateRecord, ObjectChange, SetMetadata
from reconcile.core.errors import JournalError
from reconcile.core.journal import ChangeEnded, FieldsTouched, Line, RecordMade, RunEnded, RunStarted, Touched
from reconcile.core.plan import Plan
from reconcile.core.report import Outcome, Report
from reconcile.core.rows import World
from reconcile.pipeline.object_writes import Written
from reconcile.ports import Journals, RunLog


def now() -> str:
    """Returns the current time, in RFC 3339."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Account:
    """The journal of one run.

    If a line that precedes a write cannot be written, JournalError is raised, so that the write is not made. If a line
    that follows one cannot, that only sets ``broken``, so that nothing more is started.
    """

    def __init__(self, log: RunLog | None) -> None:
        self._log = log
        self.broken: JournalError | None = None

    @classmethod
    def begin(
        cls, journal: Journals | None, run_id: str, plan: Plan, *, command: str = "", undoes: str | None = None
    ) -> Account:
        """Begins the journal of a run; a plan without changes has none. Raises JournalError if it cannot be written."""
        if journal is None or not plan.actions:
            return cls(None)
        started = RunStarted(
            run_id=run_id,
            started=now(),
            tool=plan.tool,
            command=command,
            scope=plan.scope,
            stores=plan.stores,
            fingerprint=plan.fingerprint,
            actions=len(plan.actions),
            undoes=undoes,
        )
        return cls(journal.begin(started))

    def touches(self, world: World, document: str, touched: Sequence[Touched]) -> None:
        """Notes that these fields of a record are about to be written. Raises JournalError."""
        self._before(FieldsTouched(world=world, document=document, touched=tuple(touched)))

    def creates(self, change: CreateRecord, fields: dict[str, object]) -> None:
        """Notes that a document is about to be created with these fields. Raises JournalError."""
        self._before(RecordMade(id=change.id, document=change.document, fields=fields))

    def ended(self, change: Change, outcome: Outcome, written: Written | None) -> None:
        """Notes the outcome of a change, with what was ``written`` if it was made to the content of an object."""
        ended = ChangeEnded(outcome=outcome, char_id=change.char_id, asset_type=change.asset_type)
        if isinstance(change, ObjectChange):
            ended = msgspec.structs.replace(
                ended,
                uri=change.uri,
                size=change.size,
                crc32c=change.crc32c,
                generation_before=change.if_generation_match,
                generation=None if written is None else written.generation,
                source=change.source if written is not None and written.copied and isinstance(change, Copy) else None,
            )
        if isinstance(change, SetMetadata):
            ended = msgspec.structs.replace(ended, content_type=change.content_type, content_type_before=change.old)
        self._after(ended)

    def close(self, report: Report | None) -> None:
        """Ends the journal. ``report`` is None if the run was cut short."""
        if report is not None:
            self._after(
                RunEnded(
                    ended=now(),
                    status=report.status,
                    counts=report.counts,
                    bytes=report.bytes,
                    seconds=report.seconds,
                    used=report.used,
                ),
                durable=True,
            )
        if self._log is not None:
            self._log.close()

    def _after(self, line: Line, *, durable: bool = False) -> None:
        with suppress(JournalError):
            self._before(line, durable=durable)

    def _before(self, line: Line, *, durable: bool = True) -> None:
        if self._log is None:
            return
        try:
            self._log.write(line, durable=durable)
        except JournalError as error:
            self.broken = self.broken or error
            raise
