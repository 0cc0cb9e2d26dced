"""Names: folded forms, keys and gs:// URIs."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Mapping
from typing import Any

import msgspec

MAX_KEY_BYTES = 1024
MAX_OBJECT_BYTES = 5 * 2**40
"""Cloud Storage's limit: 5 TiB (https://cloud.google.com/storage/quotas)."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_ODD_PART = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)")


def fold(text: str) -> str:
    """Returns the form that is equal for names which differ only in case or Unicode form (NFC, NFD)."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def nfc(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def spellings(text: str) -> tuple[str, ...]:
    """Returns the text and its composed and decomposed forms, which are the spellings in use, without repetitions."""
    if text.isascii():
        return (text,)
    return tuple(dict.fromkeys((text, nfc(text), unicodedata.normalize("NFD", text))))


def spelling(text: str, known: Container[str]) -> str | None:
    """Returns the known name that equals this one in some Unicode form, preferring the exact text; None if there is
    none."""
    if text.isascii():
        return text if text in known else None
    return next((each for each in spellings(text) if each in known), None)


def may_be_respelt(text: str) -> bool:
    """Whether another text may be the same name.

    Three ASCII characters have a twin that composes to them: the Kelvin sign, the Greek question mark and the Greek
    varia.
    """
    return not text.isascii() or "K" in text or ";" in text or "`" in text


def shared_prefix(text: str) -> str:
    """Returns the longest beginning of a text that all its spellings share."""
    shared = 0
    for characters in zip(*spellings(text), strict=False):
        if len(set(characters)) > 1:
            break
        shared += 1
    return text[:shared]


def is_below(name: str) -> bool:
    """Whether a name, as a relative path, stays below its start: it has no empty part, no ``.`` and no ``..``."""
    return _ODD_PART.search(name) is None


def escaped(text: str) -> str:
    """Returns the text with everything that is not valid Unicode escaped."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def is_unicode(value: Any) -> bool:
    """Whether every text in a value is valid Unicode: half of a surrogate pair can be neither planned nor stored."""
    if isinstance(value, str):
        return value.isascii() or _SURROGATE.search(value) is None
    if isinstance(value, Mapping):
        return all(map(is_unicode, value)) and all(map(is_unicode, value.values()))
    return not isinstance(value, list) or all(map(is_unicode, value))


class BucketRoot(msgspec.Struct, frozen=True):
    """A bucket and a prefix, to which keys are relative."""

    bucket: str
    prefix: str = ""

    @classmethod
    def parse(cls, uri: str) -> BucketRoot:
        """Parses ``gs://bucket/prefix``. Raises ValueError. A gs:// URI is not a URL: nothing in it is escaped."""
        bucket, _, prefix = uri.removeprefix("gs://").partition("/")
        prefix = prefix.strip("/")
        # A store in a folder has a folder with the bucket's name.
        odd = bucket in ("", ".", "..") or "\\" in bucket or (prefix and not is_below(prefix))
        if not uri.startswith("gs://") or odd:
            raise ValueError(f"{uri!r} is not gs://BUCKET/PREFIX")
        return cls(bucket, prefix)

    def __str__(self) -> str:
        return f"gs://{self.bucket}/{self.prefix}" if self.prefix else f"gs://{self.bucket}"

    def object_name(self, key: str) -> str:
        """Returns the object's full name in the bucket."""
        return f"{self.prefix}/{key}" if self.prefix else key

    def uri(self, key: str) -> str:
        return f"{self}/{key}"

    def key(self, uri: str) -> str | None:
        """Returns the key of a URI below this root, or None for any other."""
        start = f"{self}/"
        return uri[len(start) :] if uri.startswith(start) and len(uri) > len(start) else None


def key_problem(name: str) -> str | None:
    """Returns why GCS would not accept this full object name (with the prefix), or None if it would."""
    if len(name.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        return f"the bucket allows names of at most {MAX_KEY_BYTES} bytes"
    if "\n" in name or "\r" in name:
        return "the bucket allows no line breaks in a name"
    if name in ("", ".", "..") or name.startswith(".well-known/acme-challenge/"):
        return "the bucket does not allow this name"
    if not is_unicode(name):
        return "the name is not valid Unicode"
    return None
