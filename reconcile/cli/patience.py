"""Tells the user when a run is waiting for a store that does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from reconcile.adapters.meter import BUCKET, RECORDS, Meter
from reconcile.core.events import Listener, Unanswered
from reconcile.project import OpenProject
from reconcile.views.plan import at

FIRST, AGAIN = 2.0, 10.0
"""Seconds of silence before the first message, and between two messages."""
_GLANCE = 0.5


def reporter(meter: Meter, names: Mapping[str, str], listener: Listener) -> Callable[[], None]:
    """Returns what reports each store that has been silent for long enough since it was last reported. ``names`` has
    the names of the bucket and the records in messages."""
    due: dict[str, float] = {}

    def look() -> None:
        silences = meter.silences()
        for store in due.keys() - silences.keys():
            del due[store]
        for store, seconds in silences.items():
            if seconds < due.setdefault(store, FIRST) - AGAIN:  # it has answered meanwhile
                due[store] = FIRST
            if seconds >= due[store]:
                due[store] = seconds + AGAIN
                listener(Unanswered(names.get(store, store), seconds))

    return look


@contextmanager
def patient(project: OpenProject | None, listener: Listener) -> Iterator[None]:
    """Checks twice a second, in a thread of its own, whether a store of the project is silent."""
    if project is None:
        yield
        return
    stores = project.stores
    names = {BUCKET: at(stores.bucket, stores.bucket_endpoint), RECORDS: at(stores.records, stores.records_endpoint)}
    report, over = reporter(project.meter, names, listener), threading.Event()

    def watch() -> None:
        while not over.wait(_GLANCE):
            report()

    watcher = threading.Thread(target=watch, name="patience", daemon=True)
    with suppress(RuntimeError):  # the system has no thread left: the run goes on without these messages
        watcher.start()
    try:
        yield
    finally:
        over.set()
        if watcher.ident is not None:
            watcher.join(1.0)
