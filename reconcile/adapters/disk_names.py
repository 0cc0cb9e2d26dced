"""Names on disk as text: their bytes are read as UTF-8, whatever the locale says.

Python turns names into text, and text into names, by the encoding of the locale, which is not UTF-8 everywhere. Paths
that go to the system pass through ``native``, and names that come from it through ``as_text``. Bytes that are not UTF-8
come as lone surrogates, as Python itself has them.
"""

from __future__ import annotations

import os
import sys

_IS_UTF8 = os.name == "nt" or sys.getfilesystemencoding().lower() in ("utf-8", "utf8")


def as_text(name: str) -> str:
    """What a name, a path, or an argument of the command line says, as Python got it from the system."""
    if _IS_UTF8 or name.isascii():
        return name
    try:
        return os.fsencode(name).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return name  # no bytes of this locale: it never was a name on disk, but text from elsewhere


def native(text: str) -> str:
    """The path that makes Python ask the system for just the UTF-8 bytes of this text."""
    if _IS_UTF8 or text.isascii():
        return text
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))
