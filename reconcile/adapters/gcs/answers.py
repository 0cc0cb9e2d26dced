"""Decodes answers of Cloud Storage and checks them: returns a sound value, or raises StoreUnavailable with the
fault."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from reconcile.core.digest import Comparison, compare
from reconcile.core.encoding import encoding_of
from reconcile.core.errors import StoreUnavailable
from reconcile.core.rows import RemoteObject

T = TypeVar("T")

OBJECT_FIELDS = "name,size,generation,crc32c,contentType,contentEncoding,updated,metageneration"
# nextPageToken is a field like any other: with a mask that lacks it, a listing silently ends after its first page.
LIST_FIELDS = f"nextPageToken,items({OBJECT_FIELDS})"

_Size = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Generation = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_Crc32c = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9+/]{5}[AQgw]==\Z")]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
_DIGITS = 19


class Resource(msgspec.Struct, gc=False):
    """The fields of an object resource that are read. The API writes 64-bit numbers as strings."""

    name: _Name
    size: _Size
    generation: _Generation
    crc32c: _Crc32c | None = None
    contentType: str | None = None  # noqa: N815 - the API's own spelling
    updated: str = ""
    contentEncoding: str | None = None  # noqa: N815
    metageneration: _Generation | None = None

    def row(self, key: str) -> RemoteObject:
        """Returns the object as a row under this key."""
        return RemoteObject(
            key,
            self.size,
            self.generation,
            self.crc32c,
            self.contentType,
            self.updated,
            encoding_of(self.contentEncoding),
            self.metageneration or 0,
        )


class Page(msgspec.Struct, gc=False):
    """One page of a listing, with the token of the next page."""

    items: list[Resource] = []
    nextPageToken: str | None = None  # noqa: N815


_RESOURCE = msgspec.json.Decoder(Resource, strict=False)
_PAGE = msgspec.json.Decoder(Page, strict=False)
_ANY = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OF_A_PAGE = frozenset({"kind", "items", "prefixes", "nextPageToken"})


def decode_resource(answer: bytes, where: str, name: str | None = None) -> Resource:
    """Returns the resource of an object, which must have this ``name`` if one is given.

    Raises StoreUnavailable for any other answer.
    """
    found = decode(_RESOURCE, answer, where, "an object")
    if name not in (None, found.name):
        raise nonsense(where, f"about {found.name!r} when asked about {name!r}")
    return found


def decode_page(answer: bytes, where: str) -> Page:
    """Returns a page of a listing. Raises StoreUnavailable for any other answer."""
    page = decode(_PAGE, answer, where, "a listing")
    if not page.items:
        # An empty page has no required field, so any JSON object would pass for an empty bucket.
        strange = min(decode(_ANY, answer, where, "a listing").keys() - _OF_A_PAGE, default=None)
        if strange is not None:
            raise nonsense(where, f"without a listing: it has {strange[:40]!r}")
    return page


def holds(found: Resource, size: int, crc32c: str) -> bool:
    """Whether an object has this content, stored without a content encoding."""
    return not encoding_of(found.contentEncoding) and compare(size, crc32c, found.size, found.crc32c) is Comparison.SAME


def decode(decoder: msgspec.json.Decoder[T], answer: bytes, where: str, what: str) -> T:
    """Returns JSON of a known shape, decoded. Raises StoreUnavailable for anything else."""
    try:
        return decoder.decode(answer)
    except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        raise nonsense(where, f"without {what}: {error}") from error


def number(text: str) -> int | None:
    """Returns the number in a header, or None if it is not a number or exceeds 64 bits."""
    if not (text.isascii() and text.isdecimal()) or len(text) > _DIGITS:
        return None
    found = int(text)
    return found if found < 2**63 else None


def nonsense(where: str, how: str) -> StoreUnavailable:
    """Returns the error for an answer that Cloud Storage would never give."""
    return StoreUnavailable(f"{where} does not answer as GCS does: it answers {how}", hint="check the endpoint")
