"""What is in step beyond doubt, told without the stages: the short way of a planning.

Nothing here decides anything. Each question has two answers: the stages would find nothing to do or to say; or there is
a doubt, and the stages are asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from reconcile.core.context import Context
from reconcile.core.leftovers import leftover
from reconcile.core.media import wrong_type
from reconcile.core.mentions import is_near
from reconcile.core.names import is_unicode
from reconcile.core.pattern import BOUNDARIES
from reconcile.core.rows import Agreed, Candidate, Document, LocalFile, RemoteObject, Slot, World
from reconcile.core.rules import AssetMap, AssetRule
from reconcile.core.way import title_of

_SEPARATOR = re.compile(r"[/\\%]|file:")
_URL = re.compile(r"https?://[A-Za-z0-9/._~:?#@!$&*+=-]+")
_PARTS_WORDS = re.compile(r"""[\s"'<>|,;]""")
_ODD = re.compile(r"""[^ !#$&(-+\--:=?-JL-\[\]-_a-z{}~]""")
"""What no key holds of which a text can be the plain URI: what may be respelt, quoted or escaped, and other scripts."""
_AFTER_ID = (*BOUNDARIES, "/")
_MOST_READINGS = 10_000


def plain_references(document: Document, context: Context) -> list[Candidate] | None:
    """The references of a record of which nothing follows if each key is there: every text that could name an asset is
    the plain URI of a key, in a field of a map of its own. None if there is a doubt. The index is not looked at."""
    path = context.entries.path
    if len(path) != 1:
        return None
    entries: Any = None
    for name, value in document.fields.items():
        if name == path[0]:
            entries = value
        elif name == context.index != "":
            continue
        elif not _is_idle(name) or not (_is_idle(value) if isinstance(value, str) else _is_single(value)):
            return None
    if not isinstance(entries, list):
        return [] if entries is None and _is_idle(path[0]) else None
    found: list[Candidate] = []
    titles: set[str | None] = set()
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict) or not _take(document.id, position, entry, titles, found, context):
            return None
    return found


def _take(
    document: str,
    position: int,
    entry: Mapping[str, Any],
    titles: set[str | None],
    found: list[Candidate],
    context: Context,
) -> bool:
    """Adds the references of one map of the entries; False if there is a doubt."""
    title = title_of(entry, context.entry_key)
    if title in titles:
        return False
    titles.add(title)
    ruled, start = context.asset_map.fields, f"{context.bucket}/"
    parted = _PARTS_WORDS.search(start) is not None
    for field, value in entry.items():
        if not _is_idle(field):
            return False
        if not isinstance(value, str):
            if not _is_single(value):
                return False
        elif field != context.entry_key and value.startswith(start):
            key = value[len(start) :]
            if not _is_plain(key) or ((parted or " " in key) and is_near(value, context.roots)):
                return False
            slot = Slot(position, title, field)
            found.append(Candidate(key, World.RECORDS, document, slot, 0, exact=True, windows=False, sure=True))
        elif not _is_idle(value) or (field != context.entry_key and field in ruled and value.strip()):
            return False
    return True


def _is_single(value: object) -> bool:
    """Whether a value that is no text holds none either."""
    return not isinstance(value, Mapping | list)


def _is_idle(text: str) -> bool:
    """Whether a text can be neither a path nor a URI of ours, wherever it is."""
    if _SEPARATOR.search(text) is not None:
        return _URL.fullmatch(text) is not None
    return text.isascii() or is_unicode(text)


def _is_plain(key: str) -> bool:
    """Whether a text that is the URI of this key can mean no other key, whatever is taken off its ends."""
    return _ODD.search(key) is None and key[-1:].isalnum()


def types_listed(document: Document, context: Context) -> frozenset[str] | None:
    """The types in the index of a record; None if it holds what is not one."""
    held = document.fields.get(context.index) if context.index else None
    if held is None:
        return frozenset()
    is_index = isinstance(held, list) and all(isinstance(each, str) for each in held)
    return frozenset(held) if is_index else None


class QuietKeys:
    """Tells the keys of which nothing follows: the file, the object and the remembered state are the same, the object
    has the type that its name says, and the one reference is where the rules want it, in the record of the one
    character that the path can name."""

    def __init__(self, asset_map: AssetMap, known_ids: Iterable[str]) -> None:
        """For rules whose ids stand first: each right behind its rule's first literal text, which begins with no other
        rule's, and every key is the local path."""
        rules = [rule for rule in asset_map.rules if rule.names_character and not rule.path.ties_places]
        self._starts = tuple(dict.fromkeys(rule.path.literal_prefix for rule in rules))
        self._rules = {start: [rule for rule in rules if rule.path.literal_prefix == start] for start in self._starts}
        self._others = tuple(rule.path.literal_prefix for rule in asset_map.rules if rule not in rules)
        self._related = related(known_ids)
        self._read: dict[tuple[str, str], AssetRule | None] = {}
        self._folder = ""
        self._is_looked_at = True

    def rule_of(self, file: LocalFile, found: RemoteObject, state: Agreed, reference: Candidate) -> AssetRule | None:
        """The rule of a quiet key; None if there is a doubt. The four are of one key, and no other reference can mean
        it."""
        if file.problem is not None or file.twin is not None or file.crc32c is None or found.encoding:
            return None
        if not file.size == found.size == state.size or not file.crc32c == found.crc32c == state.crc32c:
            return None
        if found.generation != state.generation or wrong_type(found.key, found.content_type):
            return None
        slot = reference.slot
        if reference.world is not World.RECORDS or slot.position is None:
            return None
        rule = self.read(file.path, reference.document)
        return rule if rule is not None and rule.field == slot.field and self.looks_at(file.path) else None

    def read(self, path: str, char_id: str) -> AssetRule | None:
        """The rule by which ``AssetMap.read`` gives this ASCII path, if it is not left out, to this character; None if
        it does not, or if there is a doubt."""
        if char_id in self._related or path.startswith(self._others):
            return None
        for start in self._starts:
            if path.startswith(char_id, len(start)) and path.startswith(start):
                return self._rule(start, path[len(start) + len(char_id) :])
        return None

    def _rule(self, start: str, rest: str) -> AssetRule | None:
        """The first rule with this beginning that takes what is behind the id."""
        if not rest.startswith(_AFTER_ID):
            return None
        known = (start, rest)
        if known not in self._read:
            if len(self._read) >= _MOST_READINGS:
                self._read.clear()
            self._read[known] = next((rule for rule in self._rules[start] if rule.path.takes_behind_id(rest)), None)
        return self._read[known]

    def looks_at(self, path: str) -> bool:
        """Whether no part of a path is the name of a leftover. Paths come in order, so those of a folder follow one
        another."""
        folder, _, name = path.rpartition("/")
        if folder != self._folder:
            self._folder, self._is_looked_at = folder, not any(map(leftover, folder.split("/")))
        return self._is_looked_at and leftover(name) is None


def related(ids: Iterable[str]) -> frozenset[str]:
    """The ids of which one begins with another, up to a boundary: a name could be of either."""
    known = frozenset(ids)
    pairs = ((long, short) for long in known for short in shorter(long) if short in known)
    return frozenset(each for pair in pairs for each in pair)


def shorter(char_id: str) -> Iterable[str]:
    """The ids that this one begins with, up to a boundary: a name could be theirs."""
    return (char_id[:at] for at in range(1, len(char_id)) if char_id[at] in BOUNDARIES)
