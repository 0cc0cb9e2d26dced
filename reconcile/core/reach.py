"""Which paths below the root the rules can reach, and which names are considered at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from reconcile.core.leftovers import leftover
from reconcile.core.matching import Matcher, Part, folders_of
from reconcile.core.names import nfc
from reconcile.core.pattern import PatternError, Template

_OURS = re.compile(r"\.reconcile|\.r-[0-9a-z]{2,8}|\..*\.restore\.part", re.DOTALL | re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:(/|\Z)")


def is_ours(name: str) -> bool:
    """Whether a name is our own: that of the state folder, or of a part left by an interrupted restore."""
    return name.startswith(".") and _OURS.fullmatch(name) is not None


class Reach:
    """The paths that these templates can match.

    A leftover (``core.leftovers``) is reached only if a template's literal text makes the name one:
    ``.thumbs/{char_id}.png`` reaches ``.thumbs``, while ``*``, ``{name}`` and ``**`` do not.
    """

    def __init__(self, templates: Sequence[Template]) -> None:
        self._templates = templates

    def left_out(self, path: str) -> str | None:
        """Returns who leaves such a file, or one of its folders; None for a path that is considered."""
        origin = next(filter(None, map(leftover, path.split("/"))), None)
        return None if origin is None or self.takes(path) else origin

    def takes(self, path: str) -> bool:
        parts = nfc(path).split("/")
        return any(len(template.parts) in _after(template, parts) for template in self._templates)

    def enters(self, folder: str) -> bool:
        """Whether a template can match anything below the folder, given with its slash."""
        parts = nfc(folder).removesuffix("/").split("/")
        return any(at < len(each.parts) for each in self._templates for at in _after(each, parts))


class Selection:
    """Which names below the root are considered: not our own, none that ``ignore`` matches, and leftovers only if a
    rule names them.

    If ``rules`` is None, no rule names a leftover, and anything could match. Raises PatternError for a pattern of
    ``ignore`` that can never match.
    """

    def __init__(
        self, ignore: Iterable[str], rules: Sequence[Template] | None = None, *, ignore_case: bool = False
    ) -> None:
        self._ignored = _Ignored(ignore, str.lower if ignore_case else str)
        self._reach = None if rules is None else Reach(rules)
        # Most names in a large tree occur in many folders.
        self._is_usual = lru_cache(maxsize=4096)(lambda name: leftover(name) is None and not self._ignored.names(name))

    def leaves_out(self, folder: str, name: str, *, is_folder: bool) -> bool:
        """Whether the entry of this name is left out, in a considered folder (its path with the slash)."""
        if self._is_usual(name):
            return self._ignored.has_paths and self._ignored.takes(folder, name, is_folder=is_folder)
        if self._ignored.takes(folder, name, is_folder=is_folder):
            return True
        if leftover(name) is None:
            return False
        if self._reach is None or is_ours(name):
            return True
        return not (self._reach.enters(f"{folder}{name}/") if is_folder else self._reach.takes(folder + name))

    def excludes(self, path: str) -> bool:
        """Whether the file at this path, or one of its folders, is left out."""
        return any(self.leaves_out(folder, name, is_folder=more) for folder, name, more in _steps(path))

    def ignores(self, path: str) -> bool:
        """Whether ``ignore`` matches the file at this path, or one of its folders."""
        return any(self._ignored.takes(folder, name, is_folder=more) for folder, name, more in _steps(path))

    def reaches(self, path: str) -> bool:
        """Whether a rule can match the file at this path, or anything below the folder if the path ends in ``/``."""
        if self._reach is None:
            return True
        return self._reach.enters(path) if path.endswith("/") else self._reach.takes(path)


class _Ignored:
    """The patterns of ``ignore``: names at any depth, or paths from the root, of files and folders or of folders only.

    Every walked name is matched against them, so names that are literal except for a leading ``*``, as most are, need
    no template.
    """

    def __init__(self, patterns: Iterable[str], form: Callable[[str], str]) -> None:
        self._form = form
        self._names: set[str] = set()
        ends: list[str] = []
        self._templates: list[Template] = []
        self._paths: list[tuple[Template, bool]] = []
        for text in patterns:
            template, is_name, only_folder = _ignoring(form(text))
            if not is_name:
                self._paths.append((template, only_folder))
            elif not template.names:
                self._names.add(template.source)
            elif template.names == ("*0",) and template.source.startswith("*"):
                ends.append(template.literal_suffix)
            else:
                self._templates.append(template)
        self._ends = tuple(ends)
        self.has_paths = bool(self._paths)

    def names(self, name: str) -> bool:
        """Whether a pattern for names at any depth matches this one."""
        name = self._form(name if name.isascii() else nfc(name))
        return name in self._names or name.endswith(self._ends) or any(each.takes(name) for each in self._templates)

    def takes(self, folder: str, name: str, *, is_folder: bool) -> bool:
        if self.names(name):
            return True
        if not self.has_paths:
            return False
        path = self._form(folder) + self._form(name if name.isascii() else nfc(name))
        return any(each.takes(path) for each, only_folder in self._paths if is_folder or not only_folder)


def _ignoring(text: str) -> tuple[Template, bool, bool]:
    """Returns the template of a pattern, whether it is for names at any depth, and whether for folders only."""
    if "\\" in text:
        raise PatternError("folders are separated by '/', also on Windows; write it without '\\'")
    if text.startswith("/"):
        raise PatternError(f"paths are relative to the root; write {text.lstrip('/') or '**'!r}")
    if text.startswith("~/"):
        raise PatternError("a home folder is not read here; write the path relative to the root")
    if _DRIVE.match(text):
        raise PatternError("a drive is never below the root; write the path relative to the root")
    body = text.removesuffix("/")
    while body.endswith("/**"):
        body = body.removesuffix("/**")
    template = Template("*" if body == "**" else body)
    return template, body == text and len(template.parts) == 1, body != text


def _steps(path: str) -> Iterator[tuple[str, str, bool]]:
    """Yields each folder on the way to a file, and the file, as (parent path, name, whether it is a folder)."""
    folder = ""
    *folders, name = path.split("/")
    for part in folders:
        yield folder, part, True
        folder += f"{part}/"
    yield folder, name, False


def _after(template: Template, names: Sequence[str]) -> set[int]:
    """Returns how many of its parts the template can have used up after these folder and file names."""
    parts = template.parts
    at = _skipped(parts, {0})
    for name in names:
        origin = leftover(name)
        taken: set[int] = set()
        for position in at:
            part = parts[position] if position < len(parts) else ()
            if folders_of(part) is not None:
                taken |= {position} if origin is None else set()
            elif part and _matcher(part).takes(name) and origin in (None, _own(part)):
                taken.add(position + 1)
        at = _skipped(parts, taken)
    return at


def _skipped(parts: Sequence[Part], positions: set[int]) -> set[int]:
    """Returns these positions, and those after a ``**``, which may stand for no folder."""
    found = set(positions)
    for position, part in enumerate(parts):
        if position in found and folders_of(part) is not None:
            found.add(position + 1)
    return found


@lru_cache(maxsize=1024)
def _matcher(part: Part) -> Matcher:
    return Matcher([part])


@lru_cache(maxsize=1024)
def _own(part: Part) -> str | None:
    """Returns who leaves a name with the part's literal text, whatever its captures hold."""
    return leftover("".join(token.text if token.name is None else "x" for token in part))
