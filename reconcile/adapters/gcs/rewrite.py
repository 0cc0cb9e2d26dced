"""One object made from another one in the bucket: nothing is sent but the order, and both generations are held to."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from reconcile.adapters.gcs.answers import OBJECT_FIELDS, Resource, decode, nonsense
from reconcile.adapters.gcs.failures import Doubt, Transient, wait
from reconcile.adapters.gcs.http import Door
from reconcile.core.digest import Comparison, compare
from reconcile.core.encoding import encoding_of
from reconcile.core.errors import NotThere, StoreUnavailable, Uncertain

AT_ONCE = 256 * 1024 * 1024
"""Bytes that one request may copy where they must really be moved, so that it is answered in time."""


class Made(NamedTuple):
    """What the copy is to be: its name, content and type, and the generation that it replaces."""

    name: str
    size: int
    crc32c: str
    content_type: str
    if_generation_match: int


class Said(msgspec.Struct):
    """What a server says of an object that may be copied from."""

    md5Hash: str | None = None  # noqa: N815 - the API's own spelling
    contentEncoding: str | None = None  # noqa: N815


class Rewritten(msgspec.Struct):
    """One answer of a rewrite, which may need several."""

    done: bool
    totalBytesRewritten: int = 0  # noqa: N815
    rewriteToken: str | None = None  # noqa: N815
    resource: Resource | None = None


_SAID = msgspec.json.Decoder(Said, strict=False)
_REWRITTEN = msgspec.json.Decoder(Rewritten, strict=False)


def md5_of(door: Door, name: str, generation: int) -> str | None:
    query: dict[str, str | int] = {"fields": "md5Hash,contentEncoding", "generation": generation}
    path = door.object(name)
    try:
        answer = door.retrying(lambda: door.once("GET", path, query, missing=NotThere, about=name))
    except NotThere:
        return None
    said = decode(_SAID, answer.content, door.where, "an object")
    return None if encoding_of(said.contentEncoding) else said.md5Hash or None


def rewrite(door: Door, source: str, generation: int, made: Made) -> Resource:
    """Copies until it is done. Raises as ObjectStore.copy does; a repetition whose first answer was lost is refused by
    its own precondition."""
    path = f"{door.object(source)}/rewriteTo{door.object(made.name).removeprefix('/storage/v1')}"
    query: dict[str, str | int] = {
        "ifGenerationMatch": made.if_generation_match,
        "ifSourceGenerationMatch": generation,
        "maxBytesRewrittenPerCall": AT_ONCE,
        "fields": f"done,totalBytesRewritten,rewriteToken,resource({OBJECT_FIELDS})",
    }
    headers = {"Content-Type": "application/json; charset=UTF-8"}
    data = msgspec.json.encode({"contentType": made.content_type})
    doubt, patience, copied = Doubt.NONE, door.patience(), -1
    while True:
        try:
            with door.writing(made.name):
                answer = door.once("POST", path, query, headers=headers, data=data, missing=NotThere, about=made.name)
            told = _decoded(door, answer.content)
        except Transient as failure:
            doubt = max(doubt, failure.doubt)
            try:
                wait(patience, failure)
            except Transient as last:
                if doubt is Doubt.NONE:
                    raise
                message = f"{door.where} may or may not have copied {made.name!r}: the answer was lost"
                raise Uncertain(message, hint="run again: the next plan reads what is there") from last
            continue
        if told.done:
            return _checked(door, told.resource, made)
        if not told.rewriteToken or told.totalBytesRewritten <= copied:
            raise nonsense(door.where, f"that {told.totalBytesRewritten} bytes of {made.name!r} are copied, again")
        copied, patience = told.totalBytesRewritten, door.patience()
        query["rewriteToken"] = told.rewriteToken


def _decoded(door: Door, answer: bytes) -> Rewritten:
    """What the server did. An answer that cannot be read is a lost one."""
    try:
        return decode(_REWRITTEN, answer, door.where, "a rewrite")
    except StoreUnavailable as error:
        raise Transient(error.message, hint=error.hint, doubt=Doubt.LOST) from error


def _checked(door: Door, found: Resource | None, made: Made) -> Resource:
    """The answer must tell of the planned bytes."""
    is_plain = found is not None and found.name == made.name and not encoding_of(found.contentEncoding)
    if found is not None and is_plain:
        same = compare(made.size, made.crc32c, found.size, found.crc32c)
        if same is Comparison.SAME:
            return found
    message = f"{door.where} does not tell that {made.name!r} has the content that was to be copied"
    raise Uncertain(message, hint="run verify, and check the endpoint")
