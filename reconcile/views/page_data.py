"""The data that the script of the page draws, as one compact JSON text: every character, change and finding.

Maps are written as lists, frequent texts as numbers, and the URI of the bucket at the start of a text as a tab. Every
text is made visible first, so no name holds a tab, and nothing in the JSON can end the element that it is in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from reconcile.commands.report import CharacterState, CharId, Details
from reconcile.commands.status import Cell, Overview
from reconcile.core.changes import (
    Change,
    ContentChange,
    CreateRecord,
    Finding,
    ObjectChange,
    RewriteLocalDb,
    SetField,
    Severity,
    document_id,
)
from reconcile.core.plan import Plan
from reconcile.core.rows import LocalFile, RemoteObject
from reconcile.core.sides import local_side, quoted, remote_side, ways_out
from reconcile.views import words
from reconcile.views.changes import Labels, details, label, texts
from reconcile.views.findings import by_code
from reconcile.views.terminal import visible

CHARACTERS = 5_000
"""The most rows of the grid in a page, the worst first."""
CHANGES = 9_000
"""The most changes that a page lists, by whole characters, the worst first."""
FINDINGS_OF_A_KIND = 2_000
MOST_HINTS = 3
"""The most hints that are shown for a kind as a whole. If there are more, each finding shows its own."""
MOST_VALUES = 50
"""The most values of a change."""
LONGEST = 400
"""The most characters of a value that are shown. A record may hold a book."""


_URI = "\t"
_KIND_NUMBERS = {kind: number for number, kind in enumerate(words.LOOKS)}
_REASON_NUMBERS = {reason: number for number, reason in enumerate(words.REASONS)}
_VALUE_NUMBERS = {"was": 0, "now": 1}
_MARKS = ("none", "good", "todo", "look")


def room_for(characters: Sequence[CharacterState], changes: int = CHANGES) -> dict[CharId, int]:
    """Returns how many changes of which characters fit into a page. Only characters that have a row are listed: all
    changes of each, or the first ones if a character alone would fill the page."""
    room, taken = changes, {}
    for each in characters[:CHARACTERS]:
        count = len(each.changes)
        if count > changes and room == changes:
            taken[each.char_id], room = changes, 0
        elif 0 < count <= room:
            taken[each.char_id], room = count, room - count
    return taken


class PageData:
    """The data of one page."""

    def __init__(
        self, seen: Overview, plan: Plan, labels: Labels, more: Details, characters: Sequence[CharacterState]
    ) -> None:
        self.plan, self.more = plan, more
        self.characters = characters
        self.taken = room_for(characters)
        self.uri = visible(plan.stores.bucket.removesuffix("/") + "/")
        self.names: list[list[str]] = []
        self.types: dict[str | None, int] = {}
        for row in seen.rows:
            self._type(row.asset_type, row.label)
        self.labels = labels
        self.roots: dict[tuple[str, str], int] = {}
        self.pictures: dict[str, int] = {name: number for number, name in enumerate(more.pictures)}

    def text(self) -> str:
        """Returns the JSON text."""
        groups = list(self._groups())
        rows = [self._character(each) for each in self.characters[:CHARACTERS]]
        document = {
            "uri": self.uri,
            "kinds": [[each.look, each.name, each.sign] for each in words.LOOKS.values()],
            "reasons": list(words.REASONS.values()),
            "characters": rows,
            "counts": [len(self.characters), len(self.plan.actions)],
            "groups": groups,
            "types": self.names,  # complete only after the rest
            "roots": list(self.roots),
            "pictures": list(self.more.pictures.values()),
        }
        # HTML ends a script at the first "</script", wherever that is.
        return msgspec.json.encode(document).decode().replace("<", "\\u003c")

    def _type(self, asset_type: str | None, name: str) -> int:
        if asset_type not in self.types:
            self.types[asset_type] = len(self.names)
            self.names.append([visible(name), visible(asset_type or "")])
        return self.types[asset_type]

    def _type_of(self, asset_type: str | None) -> int:
        return self._type(asset_type, label(self.labels, asset_type))

    def _say(self, text: str) -> str:
        """Returns a text made visible, cut if it is long, with a tab for the URI of the bucket."""
        shown = visible(text if len(text) <= LONGEST else text[:LONGEST])
        cut = f"… ({len(text):,} characters)" if len(text) > LONGEST else ""
        return (_URI + shown[len(self.uri) :] if shown.startswith(self.uri) else shown) + cut

    # -- characters --

    def _character(self, each: CharacterState) -> list[Any]:
        counts = [each.findings[severity] for severity in Severity]
        cells = [self._cell(cell) for cell in each.cells]
        taken = self.taken.get(each.char_id, 0)
        changes = self._changes(each.changes[:taken])
        name = None if each.char_id is None else visible(each.char_id)
        return [name, len(each.changes), counts, cells, changes]

    def _cell(self, cell: Cell) -> list[int]:
        """Returns the type, the mark, and the counts of a cell."""
        mark = _MARKS.index(mark_of(cell))
        counts = [cell.wanted, cell.in_step, cell.to_do, cell.local, cell.bucket, cell.records]
        # Most cells are of assets that are right everywhere, for which one count is enough.
        if counts == [cell.wanted, cell.wanted, 0, cell.wanted, cell.wanted, cell.wanted]:
            counts = counts[:1]
        return [self._type_of(cell.asset_type), mark, *counts]

    # -- changes --

    def _changes(self, changes: Sequence[Change]) -> list[list[Any]]:
        """Returns the changes of one character. If a field gets the URI of a file that the same character uploads, its
        key is the number of that change."""
        numbers = {change.key: number for number, change in enumerate(changes) if isinstance(change, ObjectChange)}
        return [self._change(change, numbers) for change in changes]

    def _change(self, change: Change, numbers: Mapping[str, int]) -> list[Any]:
        """Returns kind, type, reason and place; then, as far as there are any, the values, the key that they are about
        (its text, or the number of the change that has it), a note, and the number of its picture."""
        asset_type = -1 if isinstance(change, CreateRecord) else self._type_of(change.asset_type)
        row: list[Any] = [_KIND_NUMBERS[type(change)], asset_type, _REASON_NUMBERS[change.reason]]
        where, size, pairs = details(change)
        rest: list[Any]
        if isinstance(change, SetField | RewriteLocalDb):
            key = numbers.get(change.key, change.key)
            rest = [self._place(change, where), self._was_now(change), self._say(key) if isinstance(key, str) else key]
        else:
            values = [(_VALUE_NUMBERS.get(name, visible(name)), text) for name, text in pairs]
            picture = self.pictures.get(change.key) if isinstance(change, ContentChange) else None
            rest = [self._say(where), self._first(values), "", size, picture]
        while rest[-1] in ("", [], None):
            rest.pop()
        return [*row, *rest]

    def _place(self, change: SetField | RewriteLocalDb, where: str) -> str:
        """Returns the place, without the name of the record if that is the character."""
        is_own = change.char_id is not None and document_id(change.document) == change.char_id
        return self._say(where.removeprefix(change.char_id or "") if is_own else where)

    def _was_now(self, change: SetField | RewriteLocalDb) -> list[Any]:
        """Returns pairs of a name (0 for ``was``, 1 for ``now``) and a text. The text is left out if it is the URI of
        the key, and an index into ``roots`` if it is the key below such a folder."""
        if len(texts(change.old)) == len(texts(change.new)) == 1:
            (old,), (new,) = texts(change.old), texts(change.new)
            now = [1] if new == self.uri + change.key else [1, self._say(new)]
            return [[0, self._below_root(old, change.key)], now]
        pairs = (
            self._first([(number, text) for text in texts(value)])
            for number, value in enumerate((change.old, change.new))
        )
        return [pair for both in pairs for pair in both]

    def _first(self, pairs: Sequence[tuple[str | int, str]]) -> list[list[Any]]:
        """Returns the first pairs of a name and a text, and, if there are more, how many there are."""
        shown = [[name, self._say(text)] for name, text in pairs[:MOST_VALUES]]
        return shown if len(pairs) <= MOST_VALUES else [*shown, ["…", f"{len(pairs):,} in all"]]

    def _below_root(self, text: str, key: str) -> str | int:
        slash = "\\" if "\\" in text else "/"
        root = text.removesuffix(key.replace("/", slash))
        if root == text or not root.endswith(slash) or not text.isprintable() or len(text) > LONGEST:
            return self._say(text)
        return self.roots.setdefault((root, slash), len(self.roots))

    # -- findings --

    def _groups(self) -> Iterator[list[Any]]:
        """Yields the findings by code, the worst first, then the waived ones."""
        numbers = {each.char_id: number for number, each in enumerate(self.characters[:CHARACTERS])}
        for group in by_code(self.plan.findings):
            hints = hints_of(group.findings)
            rows = [
                self._finding(each, numbers, each.message, "" if each.hint in hints else each.hint)
                for each in group.findings[:FINDINGS_OF_A_KIND]
            ]
            shared = [visible(hint) for hint in hints]
            yield [group.severity, group.code, group.title, len(group.findings), shared, rows]
        waived = [each for each in self.plan.findings if each.is_waived]
        if waived:
            rows = [self._finding(each, numbers, f"{each.code.value}: {each.waived}") for each in waived]
            title = "findings that the rules file accepts"
            yield ["waived", "waived", title, len(waived), [], rows[:FINDINGS_OF_A_KIND]]

    def _finding(self, finding: Finding, numbers: Mapping[CharId, int], message: str, hint: str = "") -> list[Any]:
        """Returns subject, message, character and type (-1: unknown), then the sides of a conflict or a hint, if
        any."""
        asset_type = self.more.types.get(finding.subject)
        row: list[Any] = [
            self._say(finding.subject),
            self._say(message),
            numbers.get(finding.char_id, -1) if finding.char_id is not None else -1,
            -1 if asset_type is None else self._type_of(asset_type),
        ]
        conflict = self.more.conflicts.get(finding.subject)
        if conflict is not None and not finding.is_waived:
            return [*row, self._conflict(*conflict)]
        return [*row, None, visible(hint)] if hint else row

    def _conflict(self, file: LocalFile, found: RemoteObject) -> list[Any]:
        """Returns the two sides of a conflict, then what a person may want, each with its command."""
        ours, theirs = _side(*local_side(file)), _side(*remote_side(found))
        return [
            [
                ["Here", *ours, self.pictures.get(found.key, -1)],
                ["In the bucket", *theirs, self.pictures.get(self.uri + found.key, -1)],
            ],
            [[wanted, visible(command)] for wanted, command in ways_out(file.path)],
        ]


def mark_of(cell: Cell) -> str:
    """Returns the mark of a cell: ``none``, ``good``, ``todo``, or ``look`` if a person has to look at it."""
    if cell.wanted == 0:
        return "none"
    if cell.in_step == cell.wanted:
        return "good"
    if cell.to_do:
        return "todo"
    return "none" if cell.asset_type is None else "look"  # files that no rule matches need nobody


def hints_of(findings: Iterable[Finding]) -> list[str]:
    """Returns the hints that can be shared, each once: those that do not name the subject of the finding."""
    shared = dict.fromkeys(each.hint for each in findings if quoted(each.subject) not in each.hint)
    return [hint for hint in shared if hint] if len(shared) <= MOST_HINTS else []


def _side(size: int, when: str, kind: str) -> list[str]:
    return [f"{words.size(size)} ({size:,} bytes)", when, visible(kind)]
