"""Finds local paths of ours inside longer texts: in a sentence, in JSON, in a list, percent-encoded.

Only the writer of such a text knows which file it means, and how to rewrite it. So it is found, and left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from functools import lru_cache

from reconcile.core.names import fold, nfc
from reconcile.core.paths import ESCAPES, PathReading, RootForms, bare

_SEPARATOR = r"[\\/]++"
_URL = re.compile(r"""(?<![a-z0-9+.-])[a-z][a-z0-9+.-]++(?<!file)://[^\s"'<>|,;]*+""", re.IGNORECASE)
_ELSEWHERE = "\u2026"
_WORD_ENDS = re.compile(r"""[\s"'`<>|,;=(){}\[\]]|\\[nrt]""")
_LOCALHOST = re.compile(r"\A[\\/]*localhost(?=[\\/]*\Z)", re.IGNORECASE)
_IN_A_WORD = re.compile(r"[A-Za-z0-9_.~-]\Z")
_LOOK_BACK = 256  # characters: a longer word before the path is cut, so that a text is read in linear time
_WHOLE = re.compile(r"(?:file:)?[\\/?.]*(?:localhost[\\/]+)?(?:unc[\\/]+)?", re.IGNORECASE)
_ENDS = r"""(?=[\\/"`;|<>\x00-\x1f]|'(?!\w)|\Z)"""
_NEXT = re.compile(r"""(?:[\n\r;,|]\s*["'(<]*(?:[A-Za-z]:[\\/]|[A-Za-z][A-Za-z0-9+.-]+://))|[\n\r]\s*["'(<]*[\\/]""")
_ESCAPED = re.compile(r"\\+u([0-9a-fA-F]{4})")
_PERCENT = re.compile("(?:%[0-9a-fA-F]{2})+")
_ENCODINGS = 2  # how many times a text may have been percent-encoded


class Mention(Enum):
    """How a text contains a local path of ours, as findings say it."""

    LONGER = "a longer text with a local path of ours in it"
    FOLDER = "the root folder itself, which is not a file"
    ENCODED = "an encoded local path of ours, which leads to no file"


def mention(text: str, roots: Sequence[RootForms]) -> Mention | None:
    """Returns how a text contains a path below one of the roots; None if it does not, or is nothing but that path."""
    near = roots_near(text, roots)
    if not near or _URL.fullmatch(text):
        return None
    for encoded, reading in enumerate(_readings(text)):
        inner = bare(_URL.sub(_ELSEWHERE, reading))
        found = list(_places(inner, near))
        if found:
            return _judged(found, is_encoded=encoded > 0)
    return None


def roots_near(text: str, roots: Sequence[RootForms]) -> list[RootForms]:
    """Returns the roots below which a text may contain an absolute path, by a quick check."""
    lowered = text.lower()
    return [root for root in roots if root.needle is not None and root.needle in lowered]


def _judged(found: list[tuple[str, str]], *, is_encoded: bool) -> Mention | None:
    if any(not _WHOLE.fullmatch(before) or _NEXT.search(behind) for before, behind in found):
        return Mention.LONGER
    if any(not behind.strip("\\/") for _, behind in found):
        return Mention.FOLDER
    return Mention.ENCODED if is_encoded else None


def _readings(text: str) -> Iterator[str]:
    """Yields the text as it is, and as it was before something encoded it."""
    yield text
    if "\\u" in text:
        yield _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    decoded = text
    for _ in range(_ENCODINGS if "%" in text else 0):
        decoded = _PERCENT.sub(_decoded, decoded)
        yield decoded


def _decoded(found: re.Match[str]) -> str:
    return bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "replace")


def _places(text: str, roots: Iterable[RootForms]) -> Iterator[tuple[str, str]]:
    """Yields the text before and after each root found, for each root up to the first that is not at the beginning."""
    for root in roots:
        for pattern, windows in _patterns(root):
            alike = fold(text) if windows else nfc(text)
            for found in pattern.finditer(alike):
                at = found.start()
                if not at or _is_free(alike[max(0, at - _LOOK_BACK) : at]):
                    yield alike[:at], alike[found.end() :]
                    if at:
                        break


def _is_free(before: str) -> bool:
    """Whether a path can begin after this text, rather than continue it."""
    word = _WORD_ENDS.split(before)[-1]
    word = _LOCALHOST.sub("", re.split("file:", word, flags=re.IGNORECASE)[-1])
    if not word.strip("\\/?."):
        return not word.endswith(".")
    return not _IN_A_WORD.search(word) and "/" not in word and "\\" not in word


@lru_cache(maxsize=256)
def _patterns(root: RootForms) -> tuple[tuple[re.Pattern[str], bool], ...]:
    """Returns patterns that find an absolute root in a text with folded names (True) or composed ones (False)."""
    return tuple(
        (re.compile(_anchor(form) + _below(form) + _ENDS), form.windows)
        for form in root.readings
        if form.parts and form.is_anchored
    )


def _anchor(form: PathReading) -> str:
    first = rf"(?<![\\/]){_SEPARATOR}"
    if form.anchor == "/":
        return first
    if form.anchor == "//":
        return rf"(?<![\\/])[\\/]{{2,}}+(?:\?{_SEPARATOR}unc{_SEPARATOR})?"
    if form.anchor == "//?":
        return rf"(?<![\\/])[\\/]{{2,}}+\?{_SEPARATOR}"
    return rf"(?:{form.anchor}|{first}(?:mnt|cygdrive){_SEPARATOR}{form.anchor[0]})"


def _below(form: PathReading) -> str:
    """Returns the pattern of a root's parts with their separators; a UNC or POSIX anchor includes the first
    separator."""
    alike = fold if form.windows else nfc
    parts = [alike(part) for part in form.parts]
    if form.anchor.startswith("/"):
        return _literal(parts[0]) + "".join(map(_separated, parts[1:]))
    return "".join(map(_separated, parts))


def _separated(part: str) -> str:
    """Returns the pattern of a part after a backslash, or after the character that a careless literal makes of both."""
    damaged = [f"{re.escape(char)}{_literal(part[1:])}" for char, letter in ESCAPES.items() if part[0] == letter]
    digits = re.match("[0-7]{1,3}", part)
    for size in range(1, len(digits[0]) + 1 if digits else 1):
        code = int(part[:size], 8)
        if 0 < code < 0x20 or 0x7F <= code < 0xA0:
            damaged.append(f"{re.escape(chr(code))}{_literal(part[size:])}")
    return f"(?:{'|'.join([_SEPARATOR + _literal(part), *damaged])})"


def _literal(part: str) -> str:
    """Returns the pattern of a part as it is, or with its blanks as a shell or a web form writes them."""
    return r"(?:\\*+ |\+)".join(map(re.escape, part.split(" ")))
