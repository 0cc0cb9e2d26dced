"""The proof that the cloud alone is enough: the references of records, what was proved about them, and certificates."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from enum import Enum
from functools import partial
from typing import TypeAlias

import msgspec

from reconcile.core.changes import Code, Finding, Severity, canonical
from reconcile.core.context import Context
from reconcile.core.errors import ExitCode
from reconcile.core.findings import PATH_WITHIN, make
from reconcile.core.names import is_unicode
from reconcile.core.paths import PathKind, bare, looks_like_path, meaning
from reconcile.core.plan import Scope, Stores
from reconcile.core.rows import Candidate, Document, Slot, World
from reconcile.core.stages.elsewhere import held_in, is_alien, is_ours
from reconcile.core.stages.explode import all_texts, candidates, repairs_in
from reconcile.core.stages.record import malformed
from reconcile.core.way import Way

FORMAT = "reconcile.verify/1"
CERTIFICATE_FORMAT = "reconcile.certificate/1"


class ProofMethod(Enum):
    """How an object was checked: by its metadata, by reading all its content, or through a signed URL."""

    METADATA = "metadata"
    DEEP = "deep"
    URL = "url"


class Against(Enum):
    """What the content is compared with: the local file, the last agreed state, or only the object's own checksum."""

    LOCAL = "local"
    AGREED = "agreed"
    OBJECT = "object"


class Mode(msgspec.Struct, frozen=True):
    """How a proof is made: without local files, by reading all content, through signed URLs."""

    cloud_only: bool = False
    deep: bool = False
    urls: bool = False


class Reference(msgspec.Struct, frozen=True):
    """A URI of ours in a record. ``document`` is the record's name, ``key`` the key that the URI names."""

    world: World
    document: str
    char_id: str
    slot: Slot
    uri: str
    key: str


class Suspect(msgspec.Struct, frozen=True):
    """A text that is a local path if there is an object at one of ``keys``, and otherwise free text."""

    finding: Finding
    keys: tuple[str, ...]


class Proved(msgspec.Struct, frozen=True):
    """One reference and its result: the generation and the content that it resolves to.

    ``at`` is the path to a reference that is not in a plain field of a map.
    """

    entry: str | None
    field: str
    position: int | None
    item: int | None
    world: World
    uri: str
    ok: bool
    size: int | None
    crc32c: str | None
    generation: int | None
    content_type: str | None
    checked: tuple[ProofMethod, ...]
    against: Against | None
    at: Way | msgspec.UnsetType = msgspec.UNSET


class Certificate(msgspec.Struct, frozen=True):
    """What was proved of one character on one day, about everything that its record names.

    ``stores`` are the stores with their servers. ``update_time`` is the version of ``document`` that was read.
    ``digest`` is the SHA-256 of everything else in the certificate, as JSON without blanks, with sorted keys, and with
    U+007F escaped, as jq writes it.
    """

    format: str
    tool: str
    char_id: str
    created: str
    holds: bool
    bucket: str
    records: str
    stores: Stores
    mode: Mode
    document: str
    update_time: str
    references: tuple[Proved, ...]
    problems: tuple[Finding, ...]
    digest: str = ""

    def sealed(self) -> Certificate:
        told = msgspec.to_builtins(self)
        del told["digest"]
        text = canonical(told).replace(b"\x7f", b"\\u007f")
        return msgspec.structs.replace(self, digest=f"sha256:{hashlib.sha256(text).hexdigest()}")


class Verification(msgspec.Struct, frozen=True):
    """The result of a proof.

    ``checked`` counts references (URIs of ours and paths), of which ``ok`` resolve to the expected content; ``bytes``
    were read and hashed. ``complete`` is false if a store did not answer for some of them.
    """

    format: str
    tool: str
    created: str
    bucket: str
    records: str
    stores: Stores
    scope: Scope
    mode: Mode
    documents: int
    objects: int
    checked: int
    ok: int
    bytes: int
    seconds: float
    complete: bool
    problems: tuple[Finding, ...]
    certificates: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """0 if everything holds; findings of severity info do not matter."""
        if not self.complete:
            return ExitCode.FAILED
        return ExitCode.OK if holds(self.problems) else ExitCode.DIFFERENCES


Named: TypeAlias = Reference | Suspect | Finding


def holds(problems: tuple[Finding, ...]) -> bool:
    return all(problem.severity is Severity.INFO for problem in problems)


def named_by(document: Document, world: World, context: Context) -> Iterator[Named]:
    """Yields what a record names within the scope: references to prove, and texts that no cloud service can read."""
    name = context.document(document.id) if world is World.RECORDS else f"local database {document.id}"
    if not is_unicode(document.fields):
        yield make(Code.MALFORMED_RECORD, name, document.id, why="it holds text that is not valid Unicode")
        return
    entries = context.entries.of(document.fields)
    yield from malformed(name, document.id, entries, context)
    repairs = repairs_in(document.fields, context)
    for slot, text in all_texts(document.fields, context):
        key = context.bucket.key(text)
        found = list(candidates(document.id, world, slot, text, context, repairs))
        keys = [each.key for each in found] if slot.at and key is None else [key]
        if not any(_in_scope(slot, each, context) for each in keys or [None]):
            continue
        held = held_in(text, context, repairs)
        if held is not None:
            what = Code.LOCAL_PATH_ELSEWHERE if slot.is_name else PATH_WITHIN
            yield make(what, name, document.id, place=slot.place, text=text, held=held.value)
        elif key is not None:
            yield Reference(world, name, document.id, slot, text, key)
        else:
            against = _against(name, document.id, slot, text, found, context, repairs)
            yield from () if against is None else (against,)


def _in_scope(slot: Slot, key: str | None, context: Context) -> bool:
    """Whether a text is of an asset type in scope, by its field or by what it names."""
    if context.scope.paths and (key is None or not context.takes_key(key)):
        return False
    types = context.scope.asset_types
    ruled = (rule.field for rule in context.asset_map.rules if rule.type in types and not slot.at)
    return not types or slot.field in ruled or (key is not None and context.type_of(key) in types)


def _against(
    name: str, char_id: str, slot: Slot, text: str, meant: list[Candidate], context: Context, repairs: int
) -> Suspect | Finding | None:
    """Returns the problem with a text that is not a URI of ours; None if the text is not a path."""
    say = partial(make, place=slot.place, text=text)
    path = say(Code.LOCAL_PATH_ELSEWHERE if slot.is_name else Code.LOCAL_PATH, name, char_id)
    found = meaning(text, context.roots, repairs)
    ruled = not slot.at and slot.field in context.asset_map.fields
    if slot.at or not (ruled or looks_like_path(text)):
        if any(each.sure for each in meant) or (slot.at and is_ours(text, found, context)):
            return path
        if slot.at and not slot.is_name and is_alien(text, found, context):
            return say(Code.OUTSIDE_ROOT, name, char_id) if found.climbs_out or not meant else path
        return Suspect(path, tuple(each.key for each in meant)) if meant else None
    if context.bucket.key(bare(text)) is not None:
        return path
    if found.kind is PathKind.GS or found.kind is PathKind.URL:
        return say(Code.FOREIGN_URI, name, char_id) if ruled or found.kind is PathKind.GS else None
    ours = any(target.sure for target in found.targets) or bool(meant)
    alien = found.kind is PathKind.DEVICE or found.climbs_out or (found.kind is PathKind.ABSOLUTE and not ours)
    return say(Code.OUTSIDE_ROOT, name, char_id) if alien else path


_PLAIN = re.compile(r"[a-z0-9_-]+")
_ODD = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST = 80


def certificate_name(char_id: str, created: str) -> str:
    """Returns the name of a character's certificate of this day, valid on every system.

    An id that is not a plain name, or that differs from another only in case, is followed by a digest.
    """
    day = created[:10]
    if _PLAIN.fullmatch(char_id) and len(char_id) <= _LONGEST:
        return f"{char_id}-{day}.json"
    digest = hashlib.sha256(char_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{_ODD.sub('_', char_id)[:_LONGEST]}~{digest}-{day}.json"
