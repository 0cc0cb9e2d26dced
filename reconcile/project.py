"""Project: the rules and settings of one project folder, and its stores, opened when they are first needed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from reconcile import config
from reconcile.config import Overrides, Settings
from reconcile.core.names import BucketRoot
from reconcile.core.paths import RootForms, root_forms
from reconcile.core.plan import Stores
from reconcile.core.rules import AssetMap

if TYPE_CHECKING:
    from reconcile.adapters.json_db import JsonDatabase
    from reconcile.adapters.state import State
    from reconcile.adapters.state_lock import ProjectLock
    from reconcile.ports import AgreedStates, FileSource, ObjectStore, RecordStore

T = TypeVar("T")


class Project:
    """One project folder. Opening it reads the rules and nothing else; close it, or use it as a context manager."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.concurrency = 8
        """How many requests at once a store must bear; read when the store is opened."""
        self.on_hashed: Callable[[int], None] = lambda _size: None
        """Told of the bytes that were just hashed, from any thread."""
        self._open = ExitStack()

    @classmethod
    def open(cls, path: str | Path | None = None, *, overrides: Overrides | None = None) -> Self:
        """The project at ``path``, or at or above the current folder. Raises ConfigError and UsageError."""
        folder = config.find_project(Path.cwd(), Path(path) if path is not None else None)
        return cls(config.load(folder, overrides))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes what was opened."""
        self._open.close()

    @property
    def asset_map(self) -> AssetMap:
        """The rules."""
        return self.settings.asset_map

    @property
    def bucket(self) -> BucketRoot:
        """The bucket and the prefix below which keys are counted."""
        return self.settings.bucket

    @cached_property
    def roots(self) -> tuple[RootForms, ...]:
        """Every root below which a record's path is a key: today's, by its own name too, and the previous ones."""
        settings = self.settings
        resolved = str(settings.root.resolve())
        texts = dict.fromkeys((settings.root_text, str(settings.root), resolved, *settings.previous_roots))
        return tuple(root_forms(text) for text in texts)

    @property
    def stores(self) -> Stores:
        """Which three worlds this project is about, as plans name them."""
        settings = self.settings
        return Stores(
            # A folder's name need not be valid text, but a plan must be.
            local=settings.root.as_posix().encode("utf-8", "backslashreplace").decode("utf-8"),
            bucket=str(settings.bucket),
            records=str(settings.records),
            bucket_endpoint=settings.bucket_endpoint or settings.bucket_emulator,
            records_endpoint=settings.records_endpoint or settings.records_emulator,
        )

    @cached_property
    def state(self) -> State:
        """What this machine remembers, in ``.reconcile/``."""
        from reconcile.adapters.state import State

        return self._open.enter_context(State.open(self.settings.project))

    @property
    def agreed(self) -> AgreedStates:
        """The last states in which both sides agreed."""
        return self.state

    @cached_property
    def files(self) -> FileSource:
        """The files below the local root."""
        from reconcile.adapters.local import LocalFiles

        settings = self.settings
        return LocalFiles(
            settings.root,
            ignore=settings.ignore,
            settle=settings.settle,
            cache=self.state,
            on_progress=lambda size: self.on_hashed(size),
        )

    @cached_property
    def objects(self) -> ObjectStore:
        """The bucket."""
        settings = self.settings
        if settings.bucket_endpoint.startswith("file:"):
            from reconcile.adapters.embedded_objects import EmbeddedObjectStore

            folder = Path(settings.bucket_endpoint.removeprefix("file:")) / settings.bucket.bucket
            return self._opened(EmbeddedObjectStore.open(folder, settings.bucket.prefix))
        from reconcile.adapters.gcs import GcsObjectStore

        return self._opened(
            GcsObjectStore.open(
                settings.bucket.bucket,
                settings.bucket.prefix,
                settings.bucket_endpoint,
                concurrency=self.concurrency,
                sessions=self.state.sessions,
            )
        )

    @cached_property
    def records(self) -> RecordStore:
        """The database."""
        settings = self.settings
        where = settings.records
        if settings.records_endpoint.startswith("file:"):
            from reconcile.adapters.embedded_records import EmbeddedRecordStore

            folder = Path(settings.records_endpoint.removeprefix("file:")) / where.project / where.database
            return self._opened(EmbeddedRecordStore.open(folder, where.collection, settings.entries))
        from reconcile.adapters.firestore import FirestoreRecordStore

        return self._opened(
            FirestoreRecordStore.open(
                where.project, where.database, where.collection, settings.entries, settings.records_endpoint
            )
        )

    @cached_property
    def local_db(self) -> JsonDatabase | None:
        """The pipeline's own JSON database, where the rules name one."""
        if self.settings.local_db is None:
            return None
        from reconcile.adapters.json_db import JsonDatabase

        return JsonDatabase.open(self.settings.local_db.path, self.settings.entries)

    def lock(self) -> ProjectLock:
        """The lock that one run at a time holds."""
        from reconcile.adapters.state_lock import ProjectLock

        return ProjectLock(self.settings.project)

    def _opened(self, store: T) -> T:
        close: Callable[[], None] | None = getattr(store, "close", None)
        if close is not None:
            self._open.callback(close)
        return store
