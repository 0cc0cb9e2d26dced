"""Explains how the rules read the texts of records, without checking whether a file or an object exists: which rule
claims each path or URI below which root, or why it stays unread."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import NamedTuple

import msgspec

from reconcile.core.context import Context
from reconcile.core.guess import before
from reconcile.core.mentions import Mention, mention
from reconcile.core.names import is_unicode
from reconcile.core.paths import PathKind, RootForms, bare, looks_like_path, meaning
from reconcile.core.rows import Candidate, Document, Slot, World
from reconcile.core.stages.elsewhere import is_alien, is_file_name
from reconcile.core.stages.explode import all_texts, candidates, repairs_in

EXAMPLES = 5
"""The number of texts shown for each group."""
GROUPS = 500
"""The maximum number of distinct groups: records may name any number of folders, but memory is bounded."""


class TextVerdict(Enum):
    """The verdict on a text that looks like a local path, or like a URI of a bucket."""

    TAKEN = "taken"
    """A rule claims it, below a root or in the bucket."""
    BY_ITS_END = "by_its_end"
    """It is below no root, but a rule claims its end: it is read if such a file exists."""
    NO_RULE = "no_rule"
    """It is ours, and no rule claims it."""
    LEFT_OUT = "left_out"
    """It is below a root, but such files are never considered."""
    MAP_NAME = "map_name"
    """It is the name of a value, which is not rewritten."""
    OUTSIDE_ROOT = "outside_root"
    """It is below no root, and no rule claims its end."""
    CLIMBS_OUT = "climbs_out"
    """It leads out of the root."""
    DEVICE = "device"
    """It is a device of Windows, not a file."""
    LONGER_TEXT = "longer_text"
    """It is a longer text with a path of ours in it, or the root folder itself."""
    OTHER_BUCKET = "other_bucket"
    """It is a URI of another bucket, or outside the prefix."""


TAKEN = (TextVerdict.TAKEN, TextVerdict.BY_ITS_END)


class Judged(msgspec.Struct, frozen=True):
    """The verdict on one text.

    ``type`` is the asset type of the rule that claims it, and ``root`` the root that it is below, the bucket, or the
    folder that would be its root. ``named`` says whether a rule writes its field.
    """

    verdict: TextVerdict
    type: str | None = None
    root: str | None = None
    named: bool = True


class TextExample(msgspec.Struct, frozen=True):
    """A text and its place."""

    document: str
    place: str
    text: str


class TextGroup(msgspec.Struct, frozen=True):
    """Texts with the same verdict: how many, and the first of them."""

    verdict: TextVerdict
    type: str | None
    root: str | None
    named: bool
    count: int
    examples: tuple[TextExample, ...]


class AgainstRecords(msgspec.Struct, frozen=True):
    """How the rules read the records.

    That is how many ``documents`` were read, how many ``texts`` in them look like a path or a URI, how many of these
    the rules claim, and all of them grouped by verdict, largest group first.
    """

    documents: int
    texts: int
    taken: int
    groups: tuple[TextGroup, ...]


class Judge(NamedTuple):
    """Judges texts. ``roots`` are those of the context by name; ``left_out`` returns why the file at a path is never
    considered, or None."""

    context: Context
    roots: Mapping[str, RootForms]
    left_out: Callable[[str], str | None]

    def against(self, documents: Iterable[Document]) -> AgainstRecords:
        """Judges all texts in one pass over the documents; memory does not grow with their number."""
        count = 0
        counts: Counter[Judged] = Counter()
        examples: dict[Judged, list[TextExample]] = defaultdict(list)
        for document in documents:
            count += 1
            for slot, text, judged in self.of_document(document):
                if judged not in counts and len(counts) >= GROUPS:
                    judged = msgspec.structs.replace(judged, root=None)
                counts[judged] += 1
                if len(examples[judged]) < EXAMPLES:
                    examples[judged].append(TextExample(self.context.document(document.id), slot.place, text))
        ordered = sorted(counts, key=lambda each: (-counts[each], each.verdict.value, each.type or "", each.root or ""))
        groups = tuple(
            TextGroup(each.verdict, each.type, each.root, each.named, counts[each], tuple(examples[each]))
            for each in ordered
        )
        taken = sum(group.count for group in groups if group.verdict in TAKEN)
        return AgainstRecords(count, counts.total(), taken, groups)

    def of_document(self, document: Document) -> Iterator[tuple[Slot, str, Judged]]:
        """Yields the verdict on each text of a document that looks like a path or a URI."""
        if not is_unicode(document.fields):
            return
        repairs = repairs_in(document.fields, self.context)
        for slot, text in all_texts(document.fields, self.context):
            judged = self._judged(document.id, slot, text, repairs)
            if judged is not None:
                yield slot, text, judged

    def _judged(self, char_id: str, slot: Slot, text: str, repairs: int) -> Judged | None:
        named = not slot.at and slot.field in self.context.asset_map.fields
        found = list(candidates(char_id, World.RECORDS, slot, text, self.context, repairs))
        if found:
            judged = self._taken(char_id, text, found, repairs)
            is_kept = slot.is_name and not found[0].exact
            return msgspec.structs.replace(
                judged, verdict=TextVerdict.MAP_NAME if is_kept else judged.verdict, named=named
            )
        verdict = self._unread(slot, text, repairs, named=named)
        return None if verdict is None else Judged(verdict, named=named)

    def _taken(self, char_id: str, text: str, found: list[Candidate], repairs: int) -> Judged:
        asset_map, known = self.context.asset_map, frozenset({char_id})
        paths = [asset_map.path_for(each.key, known) or each.key for each in found]
        path, rule = next(
            ((path, rule) for path in paths if (rule := asset_map.likely(path)) is not None), (paths[0], None)
        )
        kind = None if rule is None else rule.type
        if self.context.bucket.key(bare(text)) is not None:
            return Judged(TextVerdict.NO_RULE if rule is None else TextVerdict.TAKEN, kind, str(self.context.bucket))
        root = self._root_of(text, repairs)
        if root is None:
            return Judged(TextVerdict.BY_ITS_END, kind, before(bare(text), path) or None)
        if self.left_out(path) is not None:
            return Judged(TextVerdict.LEFT_OUT, kind, root)
        return Judged(TextVerdict.NO_RULE if rule is None else TextVerdict.TAKEN, kind, root)

    def _root_of(self, text: str, repairs: int) -> str | None:
        """Returns the name of the first root that a text is certainly below."""
        for name, forms in self.roots.items():
            if any(target.sure for target in meaning(text, (forms,), repairs).targets):
                return name
        return None

    def _unread(self, slot: Slot, text: str, repairs: int, *, named: bool) -> TextVerdict | None:
        """Returns why a text that leads to no key stays unread; None for one that looks like neither a path nor a
        URI."""
        context = self.context
        if mention(text, context.roots) in (Mention.LONGER, Mention.FOLDER):
            return TextVerdict.LONGER_TEXT
        meant = meaning(text, context.roots, repairs)
        if meant.kind is PathKind.GS:
            return TextVerdict.OTHER_BUCKET
        if meant.kind is PathKind.URL or not (named or looks_like_path(text)):
            return None
        if slot.at and not is_alien(text, meant, context):
            return None
        if meant.kind is PathKind.DEVICE:
            return TextVerdict.DEVICE
        if meant.climbs_out:
            return TextVerdict.CLIMBS_OUT
        if meant.kind is PathKind.ABSOLUTE:
            return TextVerdict.OUTSIDE_ROOT
        # A note such as "ask Ken" is not a path, even in a field that a rule writes.
        return TextVerdict.NO_RULE if is_file_name(bare(text), context) else None
