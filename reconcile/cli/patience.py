"""Tells the user when a run is waiting for a store that does not answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from reconcile.adapters.meter import BUCKET, RECORDS, Meter
from reconcile.core.events import Listener, Unanswered
from reconcile.project import OpenProject
from reconcile.views.plan import at

FIRST, AGAIN = 2.0, 10.0
"""Seconds of silence before the first message, and between two messages."""
_GLANCE = 0.5


class Silences:
    """Reports silent stores, and remembers when each is due to be reported again."""

    def __init__(self, meter: Meter, names: Mapping[str, str], listener: Listener) -> None:
        """``names`` has the names of the bucket and the records in messages."""
        self._meter = meter
        self._names = names
        self._listener = listener
        self._next: dict[str, float] = {}

    def look(self) -> None:
        """Reports each store that has been silent for long enough since it was last reported."""
        silences = self._meter.silences()
        for store in self._next.keys() - silences.keys():
            del self._next[store]
        for store, seconds in silences.items():
            due = self._next.setdefault(store, FIRST)
            if seconds < due - AGAIN:  # it has answered meanwhile
                due = self._next[store] = FIRST
            if seconds >= due:
                self._next[store] = seconds + AGAIN
                self._listener(Unanswered(self._names.get(store, store), seconds))


@contextmanager
def patient(project: OpenProject | None, listener: Listener) -> Iterator[None]:
    """Checks twice a second, in a thread of its own, whether a store of the project is silent."""
    if project is None:
        yield
        return
    stores = project.stores
    names = {BUCKET: at(stores.bucket, stores.bucket_endpoint), RECORDS: at(stores.records, stores.records_endpoint)}
    patience = Silences(project.meter, names, listener)
    over = threading.Event()

    def look() -> None:
        while not over.wait(_GLANCE):
            patience.look()

    watcher = threading.Thread(target=look, name="patience", daemon=True)
    with suppress(RuntimeError):  # the system has no thread left: the run goes on without these messages
        watcher.start()
    try:
        yield
    finally:
        over.set()
        if watcher.ident is not None:
            watcher.join(1.0)
