"""Yields the stored bytes of an object, even if a server or a gateway on the way compressed or decompressed them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from reconcile.adapters.lean_http import Reply
from reconcile.core.encoding import BadEncoding, can_unpack, encoding_of, unpacked
from reconcile.core.errors import StoreUnavailable

_HINT = "look for a proxy or gateway on the way that compresses or decompresses answers"


def accepting(*, encoded: bool) -> dict[str, str]:
    """Returns the request header for reading an object as it is stored.

    GCS decompresses an encoded object for a client that does not accept gzip, and a gateway may compress any other
    object for one that does.
    """
    return {"Accept-Encoding": "gzip" if encoded else "identity"}


def raw(answer: Reply) -> Iterator[bytes]:
    """Returns an iterator over the body as it arrives."""
    return iter(answer.read, b"")


def packing(answer: Reply) -> str:
    """Returns the content encoding of an answer."""
    return encoding_of(answer.headers.get("Content-Encoding"))


def stored(answer: Reply, where: str, *, encoded: bool) -> Iterator[bytes]:
    """Yields the stored bytes of an object. Raises StoreUnavailable if the answer does not contain them."""
    packed = packing(answer)
    if encoded and not packed:
        message = f"{where} returns an encoded object decompressed, so its stored bytes cannot be checked"
        raise StoreUnavailable(message, hint=_HINT)
    if encoded or not packed:
        yield from raw(answer)
    elif answer.status_code == 206:
        raise StoreUnavailable(
            f"{where} returns a part of an object compressed, which cannot be decompressed", hint=_HINT
        )
    else:
        yield from unpacking(answer, where)


def unpacking(answer: Reply, where: str) -> Iterator[bytes]:
    """Yields, in pieces of bounded size, a body that was compressed on the way.

    Raises StoreUnavailable if it cannot be decompressed.
    """
    if not can_unpack(packing(answer)):
        message = f'{where} returns an object compressed as "{packing(answer)}", which was not requested'
        raise StoreUnavailable(message, hint=_HINT)
    try:
        yield from unpacked(raw(answer), sys.maxsize)
    except BadEncoding as error:
        raise StoreUnavailable(f"what {where} answered {error}", hint=_HINT) from error
