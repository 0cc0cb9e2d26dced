"""What the bucket answers, read with care: a value that can be meant, or an error of the store that names it."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from reconcile.core.errors import StoreUnavailable

T = TypeVar("T")

OBJECT_FIELDS = "name,size,generation,crc32c,contentType,contentEncoding,updated,metageneration"
# nextPageToken is a field like any other: a mask without it makes every listing end, silently, with its first page.
LIST_FIELDS = f"nextPageToken,items({OBJECT_FIELDS})"

_Size = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Generation = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
_Crc32c = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9+/]{5}[AQgw]==\Z")]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
_DIGITS = 19


class Resource(msgspec.Struct, gc=False):
    """What is read of an object resource; the API writes 64-bit numbers as strings."""

    name: _Name
    size: _Size
    generation: _Generation
    crc32c: _Crc32c | None = None
    contentType: str | None = None  # noqa: N815 - the API's own spelling
    updated: str = ""
    contentEncoding: str | None = None  # noqa: N815
    metageneration: _Generation | None = None


class Page(msgspec.Struct, gc=False):
    """One page of a listing, and the token of the next one."""

    items: list[Resource] = []
    nextPageToken: str | None = None  # noqa: N815


_RESOURCE = msgspec.json.Decoder(Resource, strict=False)
_PAGE = msgspec.json.Decoder(Page, strict=False)
_ANY = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OF_A_PAGE = frozenset({"kind", "items", "prefixes", "nextPageToken"})


def decode_resource(answer: bytes, where: str, name: str | None = None) -> Resource:
    """Reads the resource of an object, of this ``name`` if there is one. Raises StoreUnavailable for anything else."""
    found = decode(_RESOURCE, answer, where, "an object")
    if name not in (None, found.name):
        raise nonsense(where, f"about {found.name!r} when asked about {name!r}")
    return found


def decode_page(answer: bytes, where: str) -> Page:
    """Reads a page of a listing. Raises StoreUnavailable for anything else."""
    page = decode(_PAGE, answer, where, "a listing")
    if not page.items:
        # An empty page has no field that must be there, so any JSON object would pass for an empty bucket.
        strange = min(decode(_ANY, answer, where, "a listing").keys() - _OF_A_PAGE, default=None)
        if strange is not None:
            raise nonsense(where, f"without a listing: it has {strange[:40]!r}")
    return page


def decode(decoder: msgspec.json.Decoder[T], answer: bytes, where: str, what: str) -> T:
    """Reads JSON of a known shape. Raises StoreUnavailable for anything else."""
    try:
        return decoder.decode(answer)
    except (ValueError, RecursionError) as error:  # msgspec's own errors, and UnicodeDecodeError, are ValueErrors
        raise nonsense(where, f"without {what}: {error}") from error


def number(text: str) -> int | None:
    """A number of a header; None if it is not one that an API with 64-bit numbers could mean."""
    if not (text.isascii() and text.isdecimal()) or len(text) > _DIGITS:
        return None
    found = int(text)
    return found if found < 2**63 else None


def nonsense(where: str, how: str) -> StoreUnavailable:
    """The error of a server that answers as the bucket never does."""
    return StoreUnavailable(f"{where} does not answer as GCS does: it answers {how}", hint="check the endpoint")
