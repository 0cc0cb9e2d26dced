"""Converts names on disk to text and back: their bytes are UTF-8 in any locale.

Python converts names by the encoding of the locale, which is not UTF-8 everywhere. Paths that go to the system pass
through ``native``, and names that come from it through ``as_text``. Bytes that are not UTF-8 become lone surrogates, as
in Python itself.
"""

from __future__ import annotations

import os
import sys

_IS_UTF8 = os.name == "nt" or sys.getfilesystemencoding().lower() in ("utf-8", "utf8")


def as_text(name: str) -> str:
    """Returns the text of a name, path or command-line argument that Python got from the system."""
    if _IS_UTF8 or name.isascii():
        return name
    try:
        return os.fsencode(name).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return name  # not representable in this locale, so it is text that does not come from a disk


def native(text: str) -> str:
    """Returns the path for which Python calls the system with the UTF-8 bytes of this text."""
    if _IS_UTF8 or text.isascii():
        return text
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))
