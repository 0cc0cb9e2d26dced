"""Sets one field of one record to the URI of an existing object."""

from __future__ import annotations

import os
from typing import Any

from reconcile.adapters import apart
from reconcile.config.naming import key_of_uri
from reconcile.core import plan as plans
from reconcile.core.changes import Need, Reason, SetField, change_id
from reconcile.core.errors import NotThere, PreconditionFailed, Rejected, StoreError, UsageError
from reconcile.core.names import is_unicode, spelling
from reconcile.core.notes import Note
from reconcile.core.plan import Scope
from reconcile.core.report import OutcomeKind
from reconcile.core.rows import RemoteObject
from reconcile.core.rules import Many
from reconcile.pipeline.account import now
from reconcile.pipeline.executor import execute
from reconcile.pipeline.roster import check_entries
from reconcile.project import ClosedProject, OpenProject

ATTEMPTS = 5
PATIENCE = 600.0
COMMAND = "update_firestore_gcs_path"
_BY_HAND = "put the record right by hand"


def update_field(char_id: str, title: str, field: str, uri: str, project: str | os.PathLike[str] | None) -> bool:
    """Sets one field in the project of a folder. Returns whether something was written. Raises UsageError, NotThere,
    LockHeld, StoreError."""
    if apart.is_needed():
        return apart.call(update_field, char_id, title, field, uri, project)
    folder = None if project is None else os.fspath(project)
    with ClosedProject.open(folder).opened() as opened, opened.lock().acquire(PATIENCE):
        done = set_field(opened, char_id, title, field, uri)
        opened.outbox.overtake([Note("", char_id, places=((title, field),))])
        return done


def set_field(project: OpenProject, char_id: str, title: str, field: str, uri: str) -> bool:
    """Sets one field in an open project whose lock the caller holds. Returns whether something was written."""
    settings = project.settings
    texts: dict[str, object] = {"char_id": char_id, "title": title, "field": field, "uri": uri}
    for name, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"{name} is {text!r}", hint=f"give the {name} as text")
        if not is_unicode(text):
            raise UsageError(f"{name} is {text!r}, which is not valid Unicode", hint="no record can hold it")
    if field == settings.entries.key:
        raise UsageError(f"{field!r} is what tells the maps apart", hint="name the field that holds the asset")
    found = project.objects.get(key_of_uri(settings, uri))
    if found is None:
        raise NotThere(f"{uri} is not in the bucket, and a record names only what is there", hint="upload it first")
    if not found.size:
        raise Rejected(f"{uri} holds nothing, and a record names only what has content", hint="upload its file first")
    for _ in range(ATTEMPTS):
        change = _change(project, char_id, title, field, found)
        if change is None:
            return False
        plan = plans.build([change], (), project.origin, created=now(), scope=Scope((char_id,)), objects_in_scope=1)
        (outcome,) = execute(project, plan, command=COMMAND).outcomes
        if outcome.is_done:
            return outcome.outcome is OutcomeKind.APPLIED
        if outcome.outcome is not OutcomeKind.STALE:
            raise outcome.failure()
    raise PreconditionFailed(
        f"{settings.records.collection}/{char_id} was written by somebody else each time", hint="try again"
    )


def _change(project: OpenProject, char_id: str, title: str, field: str, found: RemoteObject) -> SetField | None:
    """Returns the change to the record as it is now; None if it names the object already."""
    settings, uri = project.settings, project.bucket.uri(found.key)
    name = f"{settings.records.collection}/{char_id}"
    document = next(iter(project.records.read([char_id])), None)
    if document is None:
        hint = "make it first; `reconcile apply` does, from the local database"
        raise NotThere(f"there is no record {name}", hint=hint)
    check_entries(settings, [document])
    listed = settings.entries.of(document.fields)
    if not isinstance(listed, list | None):
        raise StoreError(f"{name}: `{settings.entries}` is not a list of maps", hint=_BY_HAND)
    maps = list(settings.entries.maps(listed))
    known = spelling(title, {each for _, each, _ in maps if each is not None})
    held = [(at, entry) for at, each, entry in maps if each is not None and each == known]
    if len(held) > 1:
        why = f"has {len(held)} maps with {settings.entries.key} {title!r}"
        raise StoreError(f"{name}: `{settings.entries}` {why}", hint=_BY_HAND)
    position, entry = held[0] if held else (None, dict[str, Any]())
    old = entry.get(field)
    if uri in (old if isinstance(old, list) else [old]):
        return None
    new, needs = _value(project, char_id, field, old, found)
    return SetField(
        id=change_id("set_field", name, title, 0, field, old, new),
        key=found.key,
        char_id=char_id,
        asset_type=None,
        reason=Reason.UNTRACKED if old is None else Reason.LOCAL_PATH,
        document=name,
        entry=title,
        field=field,
        old=old,
        new=new,
        needs=needs,
        position=position,
        update_time=document.update_time,
    )


def _value(
    project: OpenProject, char_id: str, field: str, old: Any, found: RemoteObject
) -> tuple[Any, tuple[Need, ...]]:
    """Returns the new value of the field, and the objects that it needs. As in a plan this is the URI, in place of any
    old value; but if the rule of the object wants a list, the list keeps what it has."""
    bucket, reading = project.bucket, project.asset_map.read_key(found.key, (char_id,))
    uri, need = bucket.uri(found.key), Need(found.key, found.crc32c)
    if reading is None or reading.rule.many is not Many.LIST:
        return uri, (need,)
    if isinstance(old, list):
        is_ours = all(isinstance(each, str) and bucket.key(each) is not None for each in old)
        return sorted({*old, uri}) if is_ours else [*old, uri], (need,)
    if reading.rule.field != field:
        return uri, (need,)
    key = bucket.key(old) if isinstance(old, str) else None
    held = None if key is None else project.objects.get(key)
    if held is None or not held.size:
        return [uri], (need,)
    return sorted((uri, bucket.uri(held.key))), (need, Need(held.key, held.crc32c))
