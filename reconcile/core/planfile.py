"""Plan ⇄ JSON, and the check that a plan belongs to a project."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import msgspec

from reconcile.core.changes import (
    Change,
    Copy,
    CreateRecord,
    Need,
    ObjectChange,
    Replace,
    RewriteLocalDb,
    SetField,
    SetMetadata,
    Upload,
    texts_in,
)
from reconcile.core.digest import is_crc32c
from reconcile.core.errors import UsageError
from reconcile.core.media import content_type, is_generic
from reconcile.core.names import BucketRoot, is_below
from reconcile.core.plan import FORMAT, Plan, Stores, fingerprint

AGAIN = "save it again with `reconcile plan --out FILE`"


def dumps(plan: Plan) -> bytes:
    """Encodes the plan as one JSON document, ending with a newline."""
    return msgspec.json.format(msgspec.json.encode(plan, enc_hook=repr), indent=2) + b"\n"


def loads(data: bytes, source: str) -> Plan:
    """Decodes a plan file. Raises UsageError, naming ``source``, if it is torn, of another format, or not a plan."""
    data = _as_written(data, source)
    try:
        found = msgspec.json.decode(data, type=_Envelope).format
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"{source} is not a whole plan file: {error}", hint=AGAIN) from error
    if found != FORMAT:
        raise UsageError(
            f"{source} has the format {found!r}; this version reads {FORMAT!r}",
            hint="apply it with the version that wrote it, or save the plan again with this one",
        )
    try:
        return msgspec.json.decode(data, type=Plan)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"{source} is not a plan that can be applied: {error}", hint=AGAIN) from error


def _as_written(data: bytes, source: str) -> bytes:
    """Returns the document without the changes that an editor or PowerShell's ``>`` makes: a byte order mark, or
    UTF-16.

    Raises UsageError if characters were changed, too.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise UsageError(f"{source} is not a whole plan file: {error}", hint=AGAIN) from error
        # PowerShell has decoded our UTF-8 by the console's code page, so non-ASCII letters have become two or three
        # others.
        if text.startswith("{") and not text.isascii():
            raise UsageError(
                f"{source} is in UTF-16, as PowerShell's `>` writes it, which changes every letter that is not ASCII",
                hint=AGAIN,
            )
        return text.encode()
    return data.removeprefix(codecs.BOM_UTF8)


def check_belongs(
    plan: Plan, stores: Stores, rules_digest: str, bucket: BucketRoot, collection: str, index: str = ""
) -> None:
    """Raises UsageError if this project, with these rules, could not have made the plan.

    A plan that passes can reach nothing outside the root, the prefix and the collection, whoever wrote it.
    """
    for name in ("local", "bucket", "records", "bucket_endpoint", "records_endpoint"):
        theirs, ours = getattr(plan.stores, name), getattr(stores, name)
        if theirs != ours:
            raise UsageError(f"the plan was made for {name} {theirs!r}; this project has {ours!r}", hint=AGAIN)
    if plan.rules_digest != rules_digest:
        raise UsageError("the rules have changed since the plan was saved", hint=AGAIN)
    if plan.fingerprint != fingerprint(plan):
        raise UsageError("the plan's fingerprint does not fit its actions: it was edited or torn", hint=AGAIN)
    for action in plan.actions:
        problem = next(_trespasses(action, bucket, collection, index), None)
        if problem is not None:
            raise UsageError(f"action {action.id} of the plan {problem}", hint=AGAIN)


def _trespasses(action: Change, bucket: BucketRoot, collection: str, index: str) -> Iterator[str]:
    match action:
        case Upload() | Replace() | Copy() | SetMetadata():
            yield from _of_object(action, bucket)
        case SetField() | RewriteLocalDb():
            if isinstance(action, SetField):
                yield from _outside(action.document, collection)
            if action.is_index:
                yield from _misindexed(action, index)
            else:
                yield from _misplaced(action)
                yield from _unneeded(action.new, action.old, action.needs, bucket)
        case CreateRecord():
            yield from _outside(action.document, collection)
            needed = {bucket.uri(need.key) for need in action.needs}
            for text in texts_in(action.fields):
                if bucket.key(text) is not None and text not in needed:
                    yield f"names {text!r}, which it does not need to be in the bucket"


def _of_object(action: ObjectChange, bucket: BucketRoot) -> Iterator[str]:
    if not is_below(action.key):
        yield f"has the key {action.key!r}, which leads out of the root"
    if action.uri != bucket.uri(action.key):
        yield f"writes {action.uri!r}, which is not its key below {bucket}"
    if not is_crc32c(action.crc32c):
        yield f"has {action.crc32c!r} for a crc32c"
    if isinstance(action, Upload | Copy) is not (action.if_generation_match == 0):
        yield "creates where it should replace, or replaces where it should create"
    if isinstance(action, Copy) and (bucket.key(action.source) in (None, action.key) or action.source_generation < 1):
        yield f"copies {action.source!r}, which is not another object below {bucket}, or any generation of it"
    if isinstance(action, SetMetadata):
        if action.content_type != content_type(action.key) or not is_generic(action.old):
            yield f"gives {action.key!r} the type {action.content_type!r} in place of {action.old!r}"
        if action.if_metageneration_match < 1:
            yield "changes metadata whatever it is by now"


def _outside(document: str, collection: str) -> Iterator[str]:
    name = document.removeprefix(f"{collection}/")
    if name == document or not name or "/" in name:
        yield f"writes {document!r}, which is not in the collection {collection!r}"


def _misindexed(action: SetField | RewriteLocalDb, index: str) -> Iterator[str]:
    """Yields faults of an index change: it must add or remove one asset type, and add one only with an object of it."""
    if not isinstance(action, SetField) or action.way != (index,) or action.field != index:
        yield f"writes {action.field!r}, which is not the index of records"
    old, new = action.old or [], action.new or []
    for each in (old, new):
        if not isinstance(each, list) or not all(isinstance(text, str) for text in each):
            yield f"has {each!r} for an index"
            return
    if set(old) ^ set(new) != {action.asset_type} or (action.asset_type in new) is not bool(action.needs):
        yield f"makes {new!r} of the index {old!r}"


def _misplaced(action: SetField | RewriteLocalDb) -> Iterator[str]:
    """Yields faults of a change at a path: it must replace one text with another."""
    if action.at == ():
        yield "has a way that leads nowhere"
    if action.way and not (isinstance(action.old, str) and isinstance(action.new, str)):
        yield f"replaces {action.old!r} by {action.new!r} where a text can only give way to a text"


def _unneeded(new: object, old: object, needs: tuple[Need, ...], bucket: BucketRoot) -> Iterator[str]:
    """Yields faults of a new value: it may add only URIs of objects that it needs, and a list keeps its other items."""
    held = old if isinstance(old, list) else []
    allowed = [bucket.uri(need.key) for need in needs]
    values = new if isinstance(new, list) and new else [new]
    for value in values:
        if value not in allowed and value not in held:
            yield f"sets {value!r}, which is not what it needs to be in the bucket"
    for value in held:
        if not isinstance(value, str) and value not in values:
            yield f"drops {value!r} from a list"


class _Envelope(msgspec.Struct):
    format: str
