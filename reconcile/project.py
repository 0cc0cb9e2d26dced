"""A project folder: closed, it has settings; open, it also has the stores, the state and the notes of one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from reconcile.adapters.disk_names import as_text
from reconcile.adapters.lanes import Lanes, limited
from reconcile.adapters.local.settle import FirstLooks
from reconcile.adapters.local.store import LocalFiles
from reconcile.adapters.meter import Meter
from reconcile.adapters.retry import RETRIES, Budget
from reconcile.adapters.room import is_limited
from reconcile.adapters.state.facts import RunFacts
from reconcile.adapters.state.folder import StateFolder
from reconcile.adapters.state.outbox import Outbox
from reconcile.adapters.state.store import State
from reconcile.config.environment import Overrides, find_project
from reconcile.config.settings import Incomplete, Settings, load
from reconcile.core.closing import Closing
from reconcile.core.errors import UsageError
from reconcile.core.events import Advanced, Listener, Phase, Waiting, silent
from reconcile.core.names import BucketRoot, escaped
from reconcile.core.notes import Note, NotedMap
from reconcile.core.plan import Origin, Stores
from reconcile.core.ramp import Rates
from reconcile.core.rules import AssetMap
from reconcile.ports import AgreedStates, FileSource, ObjectStore, RecordStore, SharedFolder
from reconcile.run_options import APART_FROM, CONCURRENCY, RETRIES_A_WORKER, RunOptions
from reconcile.version import VERSION

# Adapters are imported on demand: no run needs all of them, and a short one spends most of its time importing.
if TYPE_CHECKING:
    from reconcile.adapters.gcs.signing import Signer
    from reconcile.adapters.gcs.url_reader import HttpReader
    from reconcile.adapters.inventory.report import InventoryReport
    from reconcile.adapters.jsondb.store import JsonDatabase
    from reconcile.adapters.local.writing import LocalPlaces
    from reconcile.adapters.state.documents import RememberedDocuments
    from reconcile.adapters.state.journal import Journal
    from reconcile.adapters.state.lock import ProjectLock


class ClosedProject(msgspec.Struct, Closing, frozen=True):
    """A project folder with its rules and settings. ``opened`` opens what a run needs."""

    settings: Settings

    @classmethod
    def open(cls, path: str | Path | None = None, *, overrides: Overrides | None = None) -> Self:
        """Returns the project at ``path``, or at or above the current folder. Raises ConfigError and UsageError."""
        folder = find_project(explicit=Path(path) if path is not None else None)
        return cls(load(folder, overrides))

    def opened(self, options: RunOptions | None = None) -> OpenProject:
        """Opens the project for one or a few runs, with the present notes of its outbox; a context manager."""
        return OpenProject(self.settings, options or RunOptions())

    def close(self) -> None:
        """Does nothing; it exists for workflows that were written for an earlier version."""


class OpenProject(RunFacts, Closing):
    """A project opened for a run: its stores, opened on demand, and what the run found out.

    Close it, or use it as a context manager. Its rules include the notes on single files.
    """

    def __init__(self, settings: Settings, options: RunOptions) -> None:
        self.options = options
        self.settings = settings
        self.noted = self.outbox.notes()
        """Notes of workflow code in the outbox that no run has brought in step yet."""
        self.done_notes: tuple[Note, ...] = ()
        """Those of ``noted`` that the last survey found to be done."""
        self.root_is_gone = False
        """Whether the local root, which once contained files, was found to be missing."""
        self._listener: Listener = silent
        self._open = ExitStack()
        if options.witness is not None:
            self._open.callback(options.witness.ended)
        self._know(self.noted)
        self._know(options.notes)

    def _know(self, notes: tuple[Note, ...]) -> None:
        if notes:
            asset_map = NotedMap.over(self.settings.asset_map, notes)
            self.settings = msgspec.structs.replace(self.settings, asset_map=asset_map)

    def close(self) -> None:
        """Closes everything that was opened."""
        self._open.close()

    def heard_by(self, listener: Listener) -> None:
        """Reports events of reading local files to this listener."""
        self._listener = listener

    @property
    def asset_map(self) -> AssetMap:
        """The rules, with the notes on single files."""
        return self.settings.asset_map

    def found_done(self, notes: Sequence[Note]) -> None:
        """Records that a survey found these notes to be done."""
        self.done_notes = tuple(notes)

    def forget_done_notes(self) -> None:
        """Removes the notes that are done from the outbox."""
        if self.done_notes:
            self.outbox.remove(self.done_notes)
            self.noted = tuple(note for note in self.noted if note not in self.done_notes)

    @cached_property
    def outbox(self) -> Outbox:
        """The notes of workflow code on files that it could not hand over."""
        return Outbox(self.settings.project)

    @property
    def bucket(self) -> BucketRoot:
        """The bucket and the prefix to which keys are relative."""
        return self.settings.bucket

    @property
    def origin(self) -> Origin:
        """The origin of this project's plans."""
        return Origin(f"reconcile {VERSION}", self.settings.rules_digest, self.stores)

    @property
    def stores(self) -> Stores:
        """The three stores of this project, as plans name them."""
        settings = self.settings
        return Stores(
            # A folder's name may not be valid text, but a plan must be.
            local=escaped(as_text(settings.root.as_posix())),
            bucket=str(settings.bucket),
            records=str(settings.records),
            bucket_endpoint=as_text(settings.bucket_endpoint) or settings.bucket_emulator,
            records_endpoint=as_text(settings.records_endpoint) or settings.records_emulator,
        )

    @cached_property
    def state(self) -> State:
        """This machine's memory of the project, in ``.reconcile/``."""
        return self._open.enter_context(State(self.settings.project))

    def spill_folder(self) -> Path:
        """Returns the folder for rows of a planning that exceed its memory."""
        return self.options.spill or StateFolder(self.settings.project).or_temporary()

    @cached_property
    def journal(self) -> Journal:
        """The journals of earlier runs."""
        from reconcile.adapters.state.journal import Journal

        return Journal(self.settings.project)

    @property
    def agreed(self) -> AgreedStates:
        """The last states in which both sides agreed."""
        return self.state

    @cached_property
    def files(self) -> FileSource:
        """The files below the local root, or those of the scans."""
        settings = self.settings
        if self.options.scans:
            from reconcile.adapters.scanned import ScannedFiles  # few runs use other machines' files

            return ScannedFiles([self.shared_folder(each) for each in self.options.scans])
        return LocalFiles(
            settings.root,
            ignore=settings.ignore,
            rules=settings.asset_map.templates,
            looks=self.options.looks or FirstLooks(settings.settle, on_wait=lambda *new: self._listener(Waiting(*new))),
            cache=self.state,
            on_progress=lambda size: self._listener(Advanced(Phase.LISTING, 0, size)),
            settled=frozenset(note.path for note in self.options.notes),
            holds_incomplete=settings.incomplete is Incomplete.HOLD,
            may_lack_root=self._may_lack_root,
        )

    def walk_apart(self) -> bool:
        """Starts the next full walk in a second process, if that pays, and returns whether it did."""
        options = self.options
        if not options.apart or not options.cache or options.scans or self.files_held < APART_FROM or is_limited():
            return False
        from reconcile.adapters.local.apart import is_possible  # few projects have so many files

        if not isinstance(self.files, LocalFiles) or not is_possible():
            return False
        self._open.callback(self.files.walk_here)
        return self.files.walk_apart(self.state.path)

    def walk_here(self) -> None:
        """Ends the second process, if there is one: the next walk is in this one."""
        if isinstance(self.files, LocalFiles):
            self.files.walk_here()

    def presence(self) -> AbstractContextManager[Callable[[str], bool]]:
        """Returns a function that says whether a file is there now; see ``LocalFiles.presence``."""
        assert isinstance(self.files, LocalFiles)
        return self.files.presence()

    @cached_property
    def places(self) -> LocalPlaces:
        """The places where missing files are restored."""
        from reconcile.adapters.local.writing import LocalPlaces

        return LocalPlaces(self.settings.root, ignore=self.settings.ignore, rules=self.settings.asset_map.templates)

    def _may_lack_root(self) -> bool:
        """Whether a missing root is a folder that disappeared, not a mistake in the rules: files were seen in it."""
        known = self.knows_files
        self.root_is_gone = self.root_is_gone or known
        return known or self.options.makes_root

    def lost_files(self) -> int:
        """Returns how many files the local root held, if it is gone or has no file left that a rule claims; else 0.

        Raises SourceError if it cannot be read.
        """
        held = self.files_held
        return 0 if held and any(map(self._is_asset, self.files.names())) else held

    def _is_asset(self, name: str) -> bool:
        return not name.endswith("/") and self.asset_map.first_match(name) is not None

    @property
    def files_of(self) -> str:
        """The location of the local files; see ``RunFacts.files_of``."""
        return " ".join(map(str, self.options.scans)) or self.settings.root_text

    @cached_property
    def meter(self) -> Meter:
        """The counter of this run's requests."""
        return Meter(self.options.witness, rates=Rates())

    @cached_property
    def budget(self) -> Budget:
        """The retry budget of this run, for both of its stores together."""
        return Budget(max(RETRIES, RETRIES_A_WORKER * max(CONCURRENCY, self.lanes.most)))

    @cached_property
    def lanes(self) -> Lanes:
        """The number of objects that are written at once."""
        return Lanes(self.options.concurrency)

    @property
    def at_once(self) -> int:
        """Concurrent requests for work that does not adapt its width."""
        return self.options.concurrency or CONCURRENCY

    @cached_property
    def objects(self) -> ObjectStore:
        """The bucket; if an inventory report is used, listed as of the report."""
        objects, report = self.objects_at(self.settings.bucket), self.inventory_report
        if report is None:
            return objects
        from reconcile.adapters.inventory.store import ReportedObjects

        limits = (self.options.memory // 4, self.spill_folder)
        return self._open.enter_context(ReportedObjects(objects, self.settings.bucket, report, *limits))

    @cached_property
    def inventory_report(self) -> InventoryReport | None:
        """The newest complete inventory report of the bucket; None if the bucket itself is listed.

        Raises UsageError if there is no report, and StoreError.
        """
        if self.options.inventory is None:
            return None
        from reconcile.adapters.inventory.report import newest

        return newest(self.options.inventory, self.objects_at, self.settings.bucket.bucket)

    def objects_at(self, root: BucketRoot) -> ObjectStore:
        """Returns the objects of any bucket on the same server as the project's own."""
        settings = self.settings
        if settings.bucket_endpoint.startswith("file:"):
            from reconcile.adapters.embedded.objects import EmbeddedObjectStore

            folder = Path(settings.bucket_endpoint.removeprefix("file:")) / root.bucket
            return self._open.enter_context(EmbeddedObjectStore.open(folder, root.prefix))
        from reconcile.adapters.gcs.store import GcsObjectStore

        return self._open.enter_context(
            GcsObjectStore(
                root.bucket,
                root.prefix,
                settings.bucket_endpoint,
                concurrency=max(self.at_once, CONCURRENCY),
                connections=self.lanes.most + CONCURRENCY,
                sessions=self.state.sessions,
                budget=self.budget,
                user_project=settings.user_project,
                on_failure=self.lanes.refused,
                pace=limited(self.options.bandwidth),
                meter=self.meter,
            )
        )

    def shared_folder(self, where: Path) -> SharedFolder:
        """Returns the folder with this path, or with the gs:// URI that was typed as one. Raises as
        ``beside_assets``."""
        from reconcile.adapters.shared_folder import BucketFolder, DiskFolder, beside_assets, bucket_place

        if (uri := bucket_place(where)) is None:
            return DiskFolder(where)
        root = beside_assets(uri, self.bucket)
        return BucketFolder(root, self.objects_at(root))

    @cached_property
    def signer(self) -> Signer:
        """The signer of URLs. Raises UsageError for a bucket without URLs."""
        settings = self.settings
        if settings.bucket_endpoint.startswith("file:"):
            raise UsageError(
                f"{settings.bucket} is kept in a folder of this machine ({settings.bucket_endpoint}), so there are no"
                " URLs of it",
                hint="URLs are for a bucket at Google, or at an emulator",
            )
        from reconcile.adapters.gcs.signing import Signer

        emulator = settings.bucket_endpoint or settings.bucket_emulator
        return Signer(settings.bucket, emulator, user_project=settings.user_project)

    @cached_property
    def url_reader(self) -> HttpReader:
        """The reader of signed URLs, which reads them as a stranger would."""
        from reconcile.adapters.gcs.url_reader import HttpReader

        return self._open.enter_context(HttpReader(connections=self.lanes.most + CONCURRENCY, watch=self.meter.bucket))

    @cached_property
    def records(self) -> RecordStore:
        """The database of the records."""
        settings = self.settings
        where = settings.records
        if settings.records_endpoint.startswith("file:"):
            from reconcile.adapters.embedded.records import EmbeddedRecordStore

            folder = Path(settings.records_endpoint.removeprefix("file:")) / where.project / where.database
            return self._open.enter_context(EmbeddedRecordStore.open(folder, where.collection))
        from reconcile.adapters.firestore.store import FirestoreRecordStore

        return self._open.enter_context(
            FirestoreRecordStore.open(
                where.project,
                where.database,
                where.collection,
                settings.records_endpoint,
                budget=self.budget,
                meter=self.meter,
            )
        )

    @cached_property
    def remembered_documents(self) -> RememberedDocuments | None:
        """The records, of which only those changed since the last run are read; None if they are on this machine."""
        if self.settings.records_endpoint.startswith("file:"):
            return None
        from reconcile.adapters.state.documents import RememberedDocuments

        place = " at ".join(filter(None, (self.stores.records, self.stores.records_endpoint)))
        return self._open.enter_context(RememberedDocuments(self.records, place, self.settings.project))

    @cached_property
    def local_db(self) -> JsonDatabase | None:
        """The pipeline's own JSON database, if the rules name one."""
        if self.settings.local_db is None:
            return None
        from reconcile.adapters.jsondb.store import JsonDatabase

        return JsonDatabase(self.settings.local_db.path, self.settings.entries.top)

    def lock(self) -> ProjectLock:
        """Returns the lock that only one run at a time can hold."""
        from reconcile.adapters.state.lock import ProjectLock

        return ProjectLock(self.settings.project)
