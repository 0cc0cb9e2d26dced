"""The check-up of ``doctor``: tries everything that a run needs, leaves nothing behind, and says how to fix what
fails."""

from __future__ import annotations

import io
import itertools
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from enum import Enum

import msgspec

from reconcile.adapters.gcs.checkup import GcsCheckup
from reconcile.adapters.state.folder import rights
from reconcile.adapters.synced import is_elsewhere, synced_by
from reconcile.core.duration import format_duration
from reconcile.core.errors import AccessDenied, PreconditionFailed, ReconcileError
from reconcile.ports import DesiredObject
from reconcile.project import OpenProject

FORMAT = "reconcile.doctor/1"
_SKEW_WARNS = 60.0
_SKEW_FAILS = 600.0
"""Seconds. Google refuses signatures and tokens that are about a quarter of an hour off."""
_LOOKED_AT = 1_000
"""The number of files below the root that are checked for being on this disk."""
_BUCKET = ("bucket: list", "bucket: create", "bucket: read", "bucket: safety")
_EMPTY = "AAAAAA=="
"""The crc32c of zero bytes."""


class Health(Enum):
    """The health of one thing. With a warning, runs work, but something that they are used for will not."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


class Check(msgspec.Struct, frozen=True):
    """One check. ``mend`` is a command, a role or a step; empty if nothing is wrong."""

    name: str
    health: Health
    tried: str
    found: str
    mend: str = ""


class Checkup(msgspec.Struct, frozen=True):
    """The document of ``doctor --json``. ``healthy`` is true if nothing failed."""

    format: str
    healthy: bool
    checks: tuple[Check, ...]


Found = tuple[Health, str, str]


def check_project(project: OpenProject, now: Callable[[], float] = time.time) -> Checkup:
    """Tries everything in turn, except what depends on something that failed. Raises no ReconcileError."""
    return _checkup(list(_checks(project, now)))


def check_nothing(error: ReconcileError) -> Checkup:
    """Returns the check-up of a project whose rules cannot be read."""
    broken = Check("rules", Health.FAILED, "read the rules file", error.message, error.hint)
    rest = ("root", "state", "credentials", "bucket", "records", "signing")
    return _checkup([broken, *(Check(name, Health.SKIPPED, "", "the rules are needed first") for name in rest)])


def _checkup(checks: list[Check]) -> Checkup:
    return Checkup(FORMAT, all(check.health is not Health.FAILED for check in checks), tuple(checks))


def _checks(project: OpenProject, now: Callable[[], float]) -> Iterator[Check]:
    settings = project.settings
    types = len(settings.asset_map.rules)
    yield Check(
        "rules", Health.OK, "read the rules file", f"{types} asset types, {settings.bucket}, {settings.records}"
    )
    yield _tried("root", f"list {settings.root}", lambda: _root(project))
    yield _tried("state", f"write in {settings.project / '.reconcile'}", lambda: _state(project))
    if settings.local_db is not None:
        yield _tried("local database", f"read {settings.local_db.path}", lambda: _local_db(project))
    if settings.bucket_endpoint.startswith("file:"):
        yield from _bucket(project, None)
    else:
        server = settings.bucket_endpoint or settings.bucket_emulator
        with closing(GcsCheckup(settings.bucket, server, now, settings.user_project, project.meter)) as checkup:
            login = _tried("credentials", "find credentials", lambda: (Health.OK, checkup.who(), ""))
            yield login
            if login.health is Health.FAILED:
                yield from _without_login(project)
                return
            yield from _bucket(project, checkup)
    yield from _records(project)
    yield _tried("signing", "sign a URL for a minute", lambda: _signing(project))


def _without_login(project: OpenProject) -> Iterator[Check]:
    """Yields the checks that need credentials as skipped: all would fail for the same reason."""
    names = ["clock", *_BUCKET, "records: read", "records: write", "signing"]
    if project.settings.records_endpoint or project.settings.records_emulator:
        names = ["clock", *_BUCKET, "signing"]
        yield from _records(project)
    yield from (Check(name, Health.SKIPPED, "", "log in first") for name in names)


def _tried(name: str, tried: str, attempt: Callable[[], Found]) -> Check:
    try:
        health, found, mend = attempt()
    except ReconcileError as error:
        return Check(name, Health.FAILED, tried, error.message, error.hint)
    return Check(name, health, tried, found, mend)


# -- this machine --


def _root(project: OpenProject) -> Found:
    root = project.settings.root
    names = list(itertools.islice(project.files.names(), _LOOKED_AT))
    if project.root_is_gone:
        return Health.WARNING, f"{root} is gone", "`reconcile restore` brings its files back from the bucket"
    if not names:
        return Health.WARNING, "it holds no file", "is a drive missing, or [local] root another folder?"
    away = sum(is_elsewhere(root, name) for name in names)
    if away:
        of = f"the first {len(names):,} files" if len(names) == _LOOKED_AT else f"{len(names):,} files"
        mend = "choose *Always keep on this device* for the folder; what is in the cloud only is not uploaded"
        return Health.WARNING, f"{away:,} of {of} are kept in the cloud only, and are not on this disk", mend
    return Health.OK, f"it can be read; {names[0]!r} is the first file", ""


def _state(project: OpenProject) -> Found:
    state = project.state
    folder = project.settings.project
    if state.warnings:
        do = rights(folder) or "make the folder writable"
        return Health.FAILED, state.warnings[0], f"{do}; without it there is no lock and no journal"
    service = synced_by(folder)
    if service:
        mend = "keep the project folder elsewhere; the local root may stay there"
        return Health.WARNING, f"{service} carries it to other machines, and locks its files at any time", mend
    holder = project.lock().holder()
    if holder is not None:
        return Health.OK, f"it can be written; “{holder.command}” (process {holder.pid}) may be at work", ""
    last = project.last_good_run
    return Health.OK, f"it can be written; last good run of everything: {last or 'none yet'}", ""


def _local_db(project: OpenProject) -> Found:
    store = project.local_db
    count = 0 if store is None else sum(1 for _ in store.ids())
    return Health.OK, f"it is a database of {count} characters", ""


# -- the bucket --


def _bucket(project: OpenProject, checkup: GcsCheckup | None) -> Iterator[Check]:
    """Yields the checks of the bucket. ``checkup`` is None for a bucket in a folder."""
    bucket, reached = project.settings.bucket, True
    if checkup is not None:
        tried = "ask the bucket's server for the time"
        try:
            skew = checkup.clock_skew()
        except ReconcileError as error:
            reached = False
            yield Check("clock", Health.FAILED, tried, error.message, error.hint)
        else:
            health, found, mend = _clock(skew)
            yield Check("clock", health, tried, found, mend)
    listed = Check("bucket: list", Health.SKIPPED, "", "its server must be reached first")
    if reached:
        listed = _tried("bucket: list", f"list {bucket}", lambda: _list(project))
    yield listed
    if listed.health is not Health.OK:
        for name in _BUCKET[1:]:
            yield Check(name, Health.SKIPPED, "", "the bucket must be reached first")
    else:
        yield _tried("bucket: create", "an upload that is refused on purpose", lambda: _create(project))
        yield _tried("bucket: read", "read an object's first bytes, as publishing does", lambda: _read(project))
        if checkup is not None:
            yield _tried(
                "bucket: safety", "ask whether replaced objects can be recovered", lambda: _safety(project, checkup)
            )


def _clock(skew: float | None) -> Found:
    if skew is None:
        return Health.SKIPPED, "the server does not say what time it is", ""
    off = f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server's"
    mend = "set the clock: sudo timedatectl set-ntp true, or w32tm /resync on Windows"
    if abs(skew) > _SKEW_FAILS:
        return Health.FAILED, f"{off}; logins and signed URLs will be refused", mend
    return (Health.WARNING, off, mend) if abs(skew) > _SKEW_WARNS else (Health.OK, off, "")


def _list(project: OpenProject) -> Found:
    first = next(iter(project.objects.list()), None)
    return Health.OK, "it can be listed" + ("; it holds nothing below the prefix" if first is None else ""), ""


def _create(project: OpenProject) -> Found:
    """Tries to replace generation 1 of an object that does not exist. The precondition fails only if the credentials
    may write; otherwise access is denied first."""
    key = f"reconcile-doctor-{secrets.token_hex(8)}"
    try:
        project.objects.put(DesiredObject(key, 0, _EMPTY, "text/plain", 1), io.BytesIO())
    except PreconditionFailed:
        return Health.OK, "objects can be created (nothing was written)", ""
    return (
        Health.FAILED,
        f"the server ignored a precondition, and made {key!r}",
        "use another emulator; see docs/stores.md",
    )


def _read(project: OpenProject) -> Found:
    first = next((each for each in project.objects.list() if each.size), None)
    if first is None:
        return Health.SKIPPED, "there is no object to read yet", ""
    chunk = next(iter(project.objects.read(first.key)), b"")
    return Health.OK, f"{len(chunk):,} bytes of {first.key!r}, {first.content_type}", ""


def _safety(project: OpenProject, checkup: GcsCheckup) -> Found:
    bucket = f"gs://{project.settings.bucket.bucket}"
    try:
        settings = checkup.settings()
    except AccessDenied:
        return (
            Health.WARNING,
            "the credentials may not ask (storage.buckets.get)",
            f"grant roles/storage.legacyBucketReader on {bucket}, or look yourself: gcloud storage buckets describe"
            f" {bucket}",
        )
    if settings.billing.requester_pays and not project.settings.user_project:
        mend = "name the project to charge as user_project under [bucket] in the rules"
        return Health.FAILED, "the bucket is requester pays, and the rules do not name the project to charge", mend
    may_replace = checkup.grants("storage.objects.delete")
    also = "" if may_replace else "; objects cannot be replaced without storage.objects.delete"
    if settings.versioning.enabled:
        return Health.OK, f"versioning keeps what is replaced{also}", ""
    if kept := settings.soft_delete_policy.retention_duration_seconds:
        return Health.OK, f"soft delete keeps what is replaced for {format_duration(kept)}{also}", ""
    mend = f"gcloud storage buckets update {bucket} --soft-delete-duration=7d (or --versioning)"
    return Health.WARNING, f"a replaced object is lost at once{also}", mend


# -- the records --


def _records(project: OpenProject) -> Iterator[Check]:
    where = project.settings.records
    read = _tried("records: read", f"read {where}", lambda: _read_records(project))
    yield read
    if read.health is Health.FAILED:
        yield Check("records: write", Health.SKIPPED, "", "the database must be read first")
    else:
        yield _tried("records: write", "a write that is refused on purpose", lambda: _write_record(project))


def _read_records(project: OpenProject) -> Found:
    first = next(iter(project.records.ids()), None)
    return Health.OK, "it can be read" + ("; the collection is empty" if first is None else ""), ""


def _write_record(project: OpenProject) -> Found:
    """Tries to update a document that does not exist. The precondition fails only if the credentials may write;
    otherwise access is denied first."""
    document = f"reconcile-doctor-{secrets.token_hex(8)}"
    try:
        project.records.update(document, {"checked": True}, if_update_time="1970-01-01T00:00:01.000000Z")
    except PreconditionFailed:
        return Health.OK, "documents can be written (nothing was)", ""
    return Health.FAILED, f"the server ignored a precondition, and made {document!r}", "use Google's own emulator"


def _signing(project: OpenProject) -> Found:
    if project.settings.bucket_endpoint.startswith("file:"):
        return Health.SKIPPED, "a bucket in a folder has no URLs", ""
    project.signer.sign("reconcile-doctor", expires=60)
    if project.settings.bucket_endpoint or project.settings.bucket_emulator:
        return Health.OK, "in shape only: an emulator checks no signature", ""
    return Health.OK, "URLs can be signed", ""
