"""Writes of an object that send no content: setting its content type, and copying another object.

Both carry preconditions, so a repetition after a lost answer is refused and does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import msgspec

from reconcile.adapters.gcs.answers import OBJECT_FIELDS, Resource, decode, decode_resource, holds, nonsense
from reconcile.adapters.gcs.failures import Doubt, Transient
from reconcile.adapters.gcs.http import JSON, GcsClient, Write
from reconcile.core.encoding import encoding_of
from reconcile.core.errors import NotThere, Uncertain
from reconcile.ports import DesiredObject

AT_ONCE = 256 * 1024 * 1024
"""Bytes that one request may copy if they have to be moved, so that it is answered in time."""

T = TypeVar("T")


class SourceFields(msgspec.Struct):
    """The fields of an object that are read before it is copied."""

    md5Hash: str | None = None  # noqa: N815 - the API's own spelling
    contentEncoding: str | None = None  # noqa: N815


class Rewritten(msgspec.Struct):
    """One answer of a rewrite; a large rewrite takes several requests."""

    done: bool
    totalBytesRewritten: int = 0  # noqa: N815
    rewriteToken: str | None = None  # noqa: N815
    resource: Resource | None = None


_SOURCE_FIELDS = msgspec.json.Decoder(SourceFields, strict=False)
_REWRITTEN = msgspec.json.Decoder(Rewritten, strict=False)


def set_type(client: GcsClient, name: str, content_type: str, generation: int, metageneration: int) -> Resource:
    """Sets the content type of an object that still has these generations. Raises as ObjectStore.set_type does."""
    query: dict[str, str | int] = {
        "ifGenerationMatch": generation,
        "ifMetagenerationMatch": metageneration,
        "fields": OBJECT_FIELDS,
    }
    write = Write(client, name, "set the content type of")
    read = partial(decode_resource, where=client.where, name=name)
    return _ordered(write, "PATCH", client.object(name), query, content_type, read)


def md5_of(client: GcsClient, name: str, generation: int) -> str | None:
    """Returns the MD5 of an object as ``ObjectStore.md5`` does."""
    answer = client.seen(name, "md5Hash,contentEncoding", generation=generation)
    if answer is None:
        return None
    said = decode(_SOURCE_FIELDS, answer, client.where, "an object")
    return None if encoding_of(said.contentEncoding) else said.md5Hash or None


def rewrite(client: GcsClient, source: str, generation: int, desired: DesiredObject) -> Resource:
    """Copies an object, in as many requests as that takes. Raises as ObjectStore.copy does."""
    path = f"{client.object(source)}/rewriteTo{client.object(desired.key).removeprefix('/storage/v1')}"
    query: dict[str, str | int] = {
        "ifGenerationMatch": desired.if_generation_match,
        "ifSourceGenerationMatch": generation,
        "maxBytesRewrittenPerCall": AT_ONCE,
        "fields": f"done,totalBytesRewritten,rewriteToken,resource({OBJECT_FIELDS})",
    }
    write, copied = Write(client, desired.key, "copied"), -1
    read = partial(decode, _REWRITTEN, where=client.where, what="a rewrite")
    while not (answer := _ordered(write, "POST", path, query, desired.content_type, read)).done:
        if not answer.rewriteToken or answer.totalBytesRewritten <= copied:
            raise nonsense(
                client.where, f"that {answer.totalBytesRewritten} bytes of {desired.key!r} are copied, again"
            )
        copied, query["rewriteToken"] = answer.totalBytesRewritten, answer.rewriteToken
    found = answer.resource
    if found is not None and found.name == desired.key and holds(found, desired.size, desired.crc32c):
        return found
    message = f"{client.where} does not say that {desired.key!r} has the content that was to be copied"
    raise Uncertain(message, hint="run verify, and check the endpoint")


def _ordered(
    write: Write, method: str, path: str, query: Mapping[str, str | int], content_type: str, read: Callable[[bytes], T]
) -> T:
    """Returns the decoded answer to a request that sends only a content type. Raises Uncertain if answers were lost."""
    data = msgspec.json.encode({"contentType": content_type})

    def attempt() -> T:
        with write.attempt():
            answer = write.client.once(method, path, query, headers=JSON, data=data, missing=NotThere, about=write.name)
            return write.read(lambda: read(answer.content))

    try:
        return write.client.retrying(attempt)
    except Transient as failure:
        if write.doubt is Doubt.NONE:
            raise
        raise write.uncertain() from failure
