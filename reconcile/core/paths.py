"""Interprets paths in records: as Windows or POSIX by their own form, on any machine, and without opening them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from urllib.parse import unquote

import msgspec

from reconcile.core.names import MAX_KEY_BYTES, fold, nfc

_DRIVE = re.compile(r"[A-Za-z]:(?!\s)")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_ENCODED_SEPARATOR = re.compile(r"%(?:25)*(?:2f|5c)", re.IGNORECASE)
_PORTS = (f"{name}{n}" for name in ("com", "lpt") for n in "123456789¹²³")
_DEVICES = frozenset({"con", "prn", "aux", "nul", "conin$", "conout$", *_PORTS})
_WINDOWS_SEPARATORS = re.compile(r"[\\/]+")
_NO_NAME = re.compile(r"(?s)\A.:|[\x00\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PIECES = re.compile(f"({_CONTROL.pattern})")
ESCAPES = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v"}
_PLAIN = re.compile("[a-z0-9]+", re.ASCII)
_FIRST = re.compile(r"\A(?:[0-7]{1,3}|.)", re.DOTALL)
_BLANKS = " \t\r\n"
# Windows puts a direction mark before a path that is copied from a file's properties.
_UNSEEN = _BLANKS + "\xa0\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
_QUOTED = (
    "\"\" '' `` <> \u201c\u201d \u201e\u201c \u201d\u201d \u2018\u2019 \u201a\u2018 \u2019\u2019"
    " \xab\xbb \xbb\xab \u2039\u203a \u203a\u2039 \u300c\u300d \u300e\u300f \uff02\uff02"
)
_QUOTES = {pair[0]: pair[1] for pair in _QUOTED.split()}
_CLOSING = frozenset(_QUOTES.values())
_ESCAPED_QUOTES = re.compile(r"""\\+(["'])(.*[^\\])\\+\1""", re.DOTALL)
"""A text between two quotes that are escaped with backslashes, as in a literal."""
_LEAD = re.compile(r"""(?:&\s*)?(?:[rRuUbBfF]{1,2}(?=["']))?""")
_WRAPPERS = 3
MAX_REPAIRS = 64  # per text
MAX_REPAIRED = 512 * 1024  # characters of repaired text per document, so that its size bounds the work
MAX_DAMAGE = 16
MAX_PARTS = 32  # per tail: no media folder is deeper, and each tail is a look-up
MAX_TARGETS = 64
MAX_TEXT = 32_767  # characters: the longest path that any system allows


class PathKind(Enum):
    """The kind of a text in a record."""

    GS = "gs"
    URL = "url"
    ABSOLUTE = "absolute"
    RELATIVE = "relative"
    DEVICE = "device"


class PathReading(msgspec.Struct, frozen=True):
    """One way to read a path. ``anchor`` is ``c:``, ``//`` (UNC), ``//?`` or ``/``; empty for a relative path; ``c:.``
    for one relative to a folder that only its own machine knows. ``climbs`` are the parts before the first ``..``; None
    without one."""

    anchor: str
    parts: tuple[str, ...]
    windows: bool
    climbs: tuple[str, ...] | None = None

    @property
    def is_anchored(self) -> bool:
        return bool(self.anchor) and not self.anchor.endswith(".")


class RootForms(msgspec.Struct, frozen=True):
    """One known root in every form in which a record may write it. ``needle`` is a lower-case text that every absolute
    form contains, to quickly rule out texts that cannot be below the root. None if the root has no absolute form."""

    readings: tuple[PathReading, ...]
    needle: str | None = None


class Target(msgspec.Struct, frozen=True):
    """A local path (relative to the root) that a text could mean. ``sure``: the text is below a known root;
    ``windows``: case may differ; ``damaged``: escapes in the text were undone."""

    path: str
    sure: bool
    windows: bool
    damaged: bool = False


class PathMeaning(msgspec.Struct, frozen=True):
    """The meaning of a text: its kind, the paths that it could mean, best first, and whether it leads out of a root."""

    kind: PathKind
    targets: tuple[Target, ...] = ()
    climbs_out: bool = False


def meaning(text: str, roots: Sequence[RootForms], repairs: int = MAX_REPAIRS) -> PathMeaning:
    """Returns the meaning of a text from a record; whether any of its targets exists is checked later. Characters that
    people paste around a path are not part of it, unless a file has exactly that name. At most ``repairs`` origins of a
    damaged text are tried, the likeliest first."""
    found, inner = _meaning(text, roots, repairs), bare(text)
    if inner == text.strip(_BLANKS):
        return found
    meant = _meaning(inner, roots, repairs)
    if meant.kind not in (PathKind.ABSOLUTE, PathKind.RELATIVE) or meant.climbs_out:
        return meant
    paths = {target.path for target in meant.targets}
    named = [target for target in found.targets if target.path not in paths]
    return PathMeaning(meant.kind, (*named, *meant.targets))


def bare(text: str) -> str:
    """Returns a text without what people paste around a path: blanks, invisible marks, quotes (also one of a pair),
    angle brackets, parentheses, a string literal's prefix, PowerShell's ``&``, and a final comma or semicolon."""
    if text[:1].isalnum() and text[-1:].isalnum():
        return text  # as nearly all are: pasted characters are punctuation, at least on one side
    inner = text.strip(_BLANKS)
    for _ in range(_WRAPPERS):
        inner = _unwrapped(inner.strip(_UNSEEN))
    return inner or text.strip(_BLANKS)


def _unwrapped(text: str) -> str:
    listed = text[:-1] if text.endswith((",", ";")) else text
    quoted = _LEAD.sub("", listed, count=1)
    escaped = _ESCAPED_QUOTES.fullmatch(quoted)
    if escaped:
        return escaped[2]
    if len(quoted) > 2 and (_QUOTES.get(quoted[0]) == quoted[-1] or _is_parenthesized(quoted)):
        return quoted[1:-1]
    return _without_lone_quote(listed)


def _is_parenthesized(text: str) -> bool:
    """Whether the parenthesis that opens a text closes at its end."""
    if not (text.startswith("(") and text.endswith(")")):
        return False
    depths = itertools.accumulate((char == "(") - (char == ")") for char in text)
    return all(itertools.islice(depths, len(text) - 1))


def _without_lone_quote(text: str) -> str:
    """Returns a text without a quote at one end, if the pair's other quote was not copied."""
    if len(text) > 1 and text[-1] in _CLOSING and _count(text, text[-1]) == 1:
        return text[:-1].rstrip("\\") if text[-2] == "\\" else text[:-1]
    if len(text) > 1 and text[0] in _QUOTES and _count(text, text[0]) == 1:
        return text[1:]
    return text


def _count(text: str, quote: str) -> int:
    """Returns how many quotes in a text could form a pair with this one."""
    pairs = {quote, *(each for pair in _QUOTES.items() if quote in pair for each in pair)}
    return sum(map(text.count, pairs))


def _meaning(text: str, roots: Sequence[RootForms], repairs: int) -> PathMeaning:
    found = _plain(text.strip(_BLANKS), roots)
    damaged = _body(text)
    if found.kind not in (PathKind.ABSOLUTE, PathKind.RELATIVE) or not _is_damaged(damaged):
        return found
    repaired = [_plain(fixed, roots) for fixed in _repairs(damaged, repairs)]
    climbs_out = found.climbs_out or any(each.climbs_out for each in repaired)
    meant = [msgspec.structs.replace(target, damaged=True) for each in repaired for target in each.targets]
    targets = [target for target in meant if target.sure] or meant[:MAX_TARGETS]
    possible = [target for target in (*found.targets, *targets) if target.sure or not climbs_out]
    ordered = _unique(sorted(possible, key=lambda target: not target.sure))
    return PathMeaning(repaired[0].kind, ordered, climbs_out)


def repairs_each(texts: Iterable[str]) -> int:
    """Returns how many repairs may be tried for each damaged text of a document, so that the work is bounded."""
    damaged = sum(len(text) for text in texts if not text.isprintable() and _is_damaged(_body(text)))
    return max(1, min(MAX_REPAIRS, MAX_REPAIRED // max(1, damaged)))


def root_forms(root: str) -> RootForms:
    """Returns every form of a configured root (Windows, UNC, POSIX, or relative)."""
    readings = tuple(_forms(root.strip(_BLANKS)))
    return RootForms(readings, _needle([form.parts for form in readings if form.is_anchored]))


def _needle(forms: Sequence[Sequence[str]]) -> str | None:
    """Returns the longest run of letters and digits that occurs in every form of a root. The first letter of a part
    does not count: an escape may have consumed it with the backslash before it."""
    runs = [{run for part in parts for run in _PLAIN.findall(_FIRST.sub("", part).lower())} for parts in forms if parts]
    return max(set.intersection(*runs) or {""}, key=lambda run: (len(run), run)) if runs else None


def looks_like_path(text: str) -> bool:
    """Whether the form of a text alone shows that it is a path (drive, UNC, ``file:``, absolute POSIX path)."""
    stripped = bare(text)
    if is_windows(stripped) or stripped.startswith("gs://"):
        return True
    return stripped.startswith("/") and stripped.count("/") >= 2 and " " not in stripped.split("/", 2)[1]


def is_windows(text: str) -> bool:
    """Whether the form of a text alone shows that it is a path on some machine: a drive, UNC, or a ``file:`` URL."""
    stripped = bare(text)
    return stripped.startswith(("\\\\", "file:")) or re.match(r"[A-Za-z]:[\\/]", stripped) is not None


def is_separated(text: str) -> bool:
    """Whether a text has a folder separator, plain or percent-encoded, as every relative path to a file must."""
    return "/" in text or "\\" in text or ("%" in text and _ENCODED_SEPARATOR.search(text) is not None)


def _plain(text: str, roots: Sequence[RootForms]) -> PathMeaning:
    if text.startswith("gs://"):
        return PathMeaning(PathKind.GS)
    scheme = _SCHEME.match(text)
    if scheme and scheme.group(1).lower() != "file":
        return PathMeaning(PathKind.URL)
    if text.startswith(("\\\\.\\", "//./")):
        return PathMeaning(PathKind.DEVICE)
    readings = list(_forms(text)) if len(text) <= MAX_TEXT else []
    if any(_is_device(part) for reading in readings if reading.windows for part in reading.parts):
        return PathMeaning(PathKind.DEVICE)
    kind = PathKind.ABSOLUTE if any(reading.anchor for reading in readings) else PathKind.RELATIVE
    targets: list[Target] = []
    climbs_out = is_root = False
    known = [form for root in roots for form in root.readings]
    for reading in readings:
        rest = _below_root(reading, reading.parts, known)
        if rest is None:
            # It was below a known root up to a "..", or is relative and climbs above its start.
            left = reading.climbs is not None and _below_root(reading, reading.climbs, known) is not None
            climbs_out |= left or reading.parts[:1] == ("..",)
        elif all(map(_is_name, rest)):
            is_root |= not rest
            targets.extend(Target("/".join(rest), sure=True, windows=reading.windows) for _ in rest[:1])
        else:
            climbs_out |= ".." in rest
    sure = any(target.sure for target in targets) and kind is PathKind.ABSOLUTE
    if not (sure or is_root or climbs_out):
        targets.extend(_tails(readings))
    return PathMeaning(kind, _unique(targets), climbs_out)


def _is_name(part: str) -> bool:
    """Whether a part is a plain name on every system. On Windows ``\\`` separates folders, a colon follows a drive, and
    final dots and blanks do not count."""
    if _NO_NAME.search(part) is not None:
        return False
    return all(piece.strip(" .") for piece in part.split("\\")) if "\\" in part else bool(part.strip(" ."))


def _tails(readings: Iterable[PathReading]) -> Iterator[Target]:
    """Yields the ends of all readings as targets, the longest first."""
    listed = [(reading.windows, list(_tails_of(reading.parts))) for reading in readings]
    longest = max((len(tails) for _, tails in listed), default=0)
    lengths = range(min(longest, MAX_PARTS), 0, -1)
    for length in itertools.chain([longest] if longest > MAX_PARTS else [], lengths):
        for windows, tails in listed:
            if len(tails) >= length:
                yield Target(tails[length - 1], sure=False, windows=windows)


def _tails_of(parts: Sequence[str]) -> Iterator[str]:
    """Yields the ends of a path that could be keys, the shortest first."""
    tail = ""
    for part in reversed(parts):
        tail = f"{part}/{tail}" if tail else part
        if not _is_name(part) or len(tail) > MAX_KEY_BYTES:
            return
        yield tail


def _unique(targets: Iterable[Target]) -> tuple[Target, ...]:
    first: dict[str, Target] = {}
    for target in targets:
        first.setdefault(target.path, target)
    return tuple(first.values())


def _below_root(reading: PathReading, parts: tuple[str, ...], roots: Iterable[PathReading]) -> tuple[str, ...] | None:
    """Returns the parts of a reading below the longest matching root: empty for the root itself, None if none
    matches."""
    rest: tuple[str, ...] | None = None
    for root in roots:
        size = len(root.parts)
        if reading.anchor != root.anchor or size > len(parts) or (rest is not None and len(parts) - size >= len(rest)):
            continue
        alike = fold if reading.windows or root.windows else nfc
        if all(alike(mine) == alike(theirs) for mine, theirs in zip(parts, root.parts, strict=False)):
            rest = parts[size:]
    return rest


def _forms(text: str) -> Iterator[PathReading]:
    if text[:5].lower() == "file:":
        raw = text[5:]
        for each in dict.fromkeys((unquote(raw, errors="replace"), raw)):
            yield from _path_forms(_file_uri_path(each))
    else:
        yield from _path_forms(text)


def _path_forms(text: str) -> Iterator[PathReading]:
    if text.startswith(("\\\\?\\", "//?/")):
        rest = text[4:]
        if rest[:4].lower() in ("unc\\", "unc/"):
            yield _reading("//", rest[4:], windows=True)
        elif _DRIVE.match(rest):
            yield _drive_reading(rest)
        else:
            yield _reading("//?", rest, windows=True)
    elif _DRIVE.match(text):
        yield _drive_reading(text)
    elif text.startswith("\\"):
        yield _reading("//" if text.startswith("\\\\") else "/", text, windows=True)
    elif text.startswith("/"):
        yield from _posix_forms(text)
    else:
        if "\\" in text:
            yield _reading("", text, windows=True)
        if "\\" not in text or "/" in text:
            yield _reading("", text, windows=False)


def _drive_reading(text: str) -> PathReading:
    rooted = text[2:3] in ("", "\\", "/")
    return _reading(f"{text[0].lower()}:{'' if rooted else '.'}", text[2:], windows=True)


def _file_uri_path(rest: str) -> str:
    """Returns the path after ``file:``: ``///C:/x``, ``//host/share/x``, ``///x`` or ``/x``."""
    path = re.sub(r"^//localhost(?=/)", "//", rest, flags=re.IGNORECASE)
    path = path[2:] if path.startswith("///") else path
    return path[1:] if re.match(r"/[A-Za-z]:", path) else path


def _posix_forms(text: str) -> Iterator[PathReading]:
    names = [part for part in text.split("/") if part not in ("", ".")]
    # WSL and Cygwin mount the drives of Windows there.
    if len(names) > 2 and names[0] in ("mnt", "cygdrive") and _DRIVE.fullmatch(f"{names[1]}:"):
        yield _drive_reading(f"{names[1]}:/{'/'.join(names[2:])}")
    yield _reading("/", text, windows=False)
    if text.startswith("//"):
        yield _reading("//", text, windows=True)
    if "\\" in text:
        yield _reading("/", text, windows=True)


def _reading(anchor: str, text: str, *, windows: bool) -> PathReading:
    raw = _WINDOWS_SEPARATORS.split(text) if windows else text.split("/")
    parts = tuple(part for part in raw if part not in ("", "."))
    if ".." not in parts:
        return PathReading(anchor, parts, windows)
    done: list[str] = []
    for part in parts:
        if part != "..":
            done.append(part)
        elif done and done[-1] != "..":
            done.pop()
        elif not anchor or anchor.endswith("."):
            done.append(part)
    return PathReading(anchor, tuple(done), windows, climbs=parts[: parts.index("..")])


def _is_device(part: str) -> bool:
    return part.partition(".")[0].partition(":")[0].rstrip(" ").lower() in _DEVICES


def _body(text: str) -> str:
    # A leading line break or tab may be the first letter of a folder's name; a trailing one ends no path.
    return text.rstrip(_BLANKS).lstrip(" ")


def _is_damaged(text: str) -> bool:
    """Whether a text could be a path with a few damaged characters; a text with many of them is not a path."""
    return len(text) <= MAX_TEXT and 0 < len(_CONTROL.findall(text)) <= MAX_DAMAGE


def _repairs(text: str, most: int) -> Iterator[str]:
    """Yields the texts that a careless string literal turns into this one, the likeliest first."""
    pieces = [list(_spellings(piece)) if _CONTROL.match(piece) else [piece] for piece in _PIECES.split(text)]
    return map("".join, itertools.islice(itertools.product(*pieces), most))


def _spellings(char: str) -> Iterator[str]:
    if char in ESCAPES:
        yield f"\\{ESCAPES[char]}"
    code = ord(char)
    for octal in dict.fromkeys((f"{code:o}", f"{code:02o}", f"{code:03o}")):
        yield f"\\{octal}"
    yield f"\\x{code:02x}"
