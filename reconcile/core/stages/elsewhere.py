"""Judges a record's texts outside the plain fields of its entries' maps, at every depth.

A plain field is a text, or a flat list of single values, directly in a map of the entries; rules write those.
Everything else is free-form: a text there counts as a path only if it certainly is one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from reconcile.core import findings
from reconcile.core.changes import Code, Finding, Reason
from reconcile.core.context import Context
from reconcile.core.findings import PATH_WITHIN, Form
from reconcile.core.media import names_a_file
from reconcile.core.mentions import Mention, mention, roots_near
from reconcile.core.paths import PathKind, PathMeaning, bare, is_separated, is_windows, looks_like_path, meaning
from reconcile.core.rows import Answer, Outlook, Slot
from reconcile.core.way import Step, Titled, Way, title_of

_LISTED = re.compile(r"[\n\r;,|]+")


def texts_elsewhere(fields: Mapping[str, Any], context: Context) -> Iterator[tuple[Slot, str]]:
    """Yields every text, name of a map and key of an entry that contains a separator, outside the plain fields."""
    stack: list[tuple[Any, Way, Slot | None]] = [(fields, (), None)]
    while stack:
        value, way, home = stack.pop()
        if isinstance(value, str):
            if is_separated(value):
                yield _slot(way, home), value
        elif isinstance(value, Mapping):
            stack += reversed([(each, (*way, name), home) for name, each in value.items()])
            yield from ((_slot((*way, name), home, is_name=True), name) for name in value if is_separated(name))
        elif isinstance(value, list) and way == context.entries.path:
            below = list(_entries(value, way, context))
            stack += reversed([(each, at, home) for at, each, home in below if home is None or not home.is_name])
            yield from ((home, each) for _, each, home in below if home is not None and home.is_name)
        elif isinstance(value, list):
            stack += reversed([(each, (*way, at), home) for at, each in enumerate(value)])


def _entries(listed: list[Any], way: Way, context: Context) -> Iterator[tuple[Way, Any, Slot | None]]:
    """Yields what the entries contain outside plain fields: the other values of maps, and items that are not maps."""
    maps = [each for each in listed if isinstance(each, dict)]
    titles = Counter(title_of(each, context.entries.key) for each in maps)
    for position, entry in enumerate(listed):
        if not isinstance(entry, dict):
            yield (*way, position), entry, None
            continue
        title = title_of(entry, context.entries.key)
        step: Step = position if title is None or titles[title] > 1 else Titled(title)
        for name, value in entry.items():
            at = (*way, step, name)
            if is_separated(name):
                yield at, name, Slot(position, title, name, at=at, is_name=True)
            if name == context.entries.key and isinstance(value, str):
                if is_separated(value):
                    yield at, value, Slot(position, title, name, at=at, is_name=True)
            elif not isinstance(value, str) and not is_flat(value):
                yield at, value, Slot(position, title, name)


def is_flat(value: Any) -> bool:
    """Whether a value is a flat list of texts and other single values that a plan can hold."""
    return isinstance(value, list) and all(
        math.isfinite(each) if isinstance(each, float) else each is None or isinstance(each, str | int)
        for each in value
    )


def _slot(way: Way, home: Slot | None, *, is_name: bool = False) -> Slot:
    if home is None:
        return Slot(None, None, str(way[0]), at=way, is_name=is_name)
    return Slot(home.position, home.entry, home.field, at=way, is_name=is_name)


def judge(
    document: str, char_id: str, slot: Slot, text: str, answer: Answer | None, context: Context, repairs: int
) -> Answer | Finding | None:
    """Returns what follows from one such text: the answer whose URI replaces it, a finding, or None if it is not
    ours."""
    make = partial(findings.make, place=slot.place, text=text)
    if answer is None or answer.outlook is Outlook.ABSENT:
        return unresolved(document, char_id, slot, text, context, repairs)[0]
    if slot.is_name and not answer.exact:
        return make(Code.LOCAL_PATH_ELSEWHERE, document, char_id)
    if answer.outlook is Outlook.NEVER:
        return make(findings.NEVER_UPLOADED, document, char_id)
    return answer if answer.outlook is Outlook.THERE and not answer.exact else None


def unresolved(
    document: str, char_id: str, slot: Slot, text: str, context: Context, repairs: int, within: Form = PATH_WITHIN
) -> tuple[Finding | None, bool]:
    """Returns what is wrong with a text that leads to no file and no object, and whether it names one that is missing.

    Any other text is somebody's own, and stays. ``within`` is the finding for a local path inside a longer text.
    """
    make = partial(findings.make, place=slot.place, text=text)
    asset_map = context.asset_map
    ruled = not slot.at and slot.field in asset_map.fields
    has_form = ruled or (not slot.at and looks_like_path(text))
    if not has_form and not is_separated(text):
        return None, False
    found = meaning(text, context.roots, repairs)
    held = held_in(text, context, repairs)
    if held is not None:
        return make(Code.LOCAL_PATH_ELSEWHERE if slot.is_name else within, document, char_id, held=held.value), False
    missing = make(Code.MISSING_ASSET, document, char_id), True
    if context.bucket.key(bare(text)) is not None:
        return missing
    if not has_form:
        if is_ours(text, found, context):
            if slot.is_name:
                return make(Code.LOCAL_PATH_ELSEWHERE, document, char_id), False
            if slot.at:
                return missing
        elif not slot.at or slot.is_name or not is_alien(text, found, context):
            return None, False
    if found.kind is PathKind.GS or found.kind is PathKind.URL:
        noted = ruled or found.kind is PathKind.GS
        return make(Code.FOREIGN_URI, document, char_id) if noted else None, False
    ours = any(target.sure or asset_map.first_match(target.path) is not None for target in found.targets)
    if found.kind is PathKind.DEVICE or found.climbs_out or (found.kind is PathKind.ABSOLUTE and not ours):
        return make(Code.OUTSIDE_ROOT, document, char_id), False
    if not ruled and not ours:
        return None, False
    if found.kind is PathKind.RELATIVE and not ours and not is_file_name(bare(text), context):
        return missing[0], False  # a note such as "ask Ken" names no file
    left_out = None if slot.at else next(filter(None, (asset_map.left_out(each.path) for each in found.targets)), None)
    if left_out is not None:
        return make(findings.NEVER_LOOKED_AT, document, char_id, why=left_out), True
    return missing


def held_in(text: str, context: Context, repairs: int) -> Mention | None:
    """Returns how a text that leads to no file contains a local path of ours without being one; None if it does not."""
    if not roots_near(text, context.roots):
        return None
    found = meaning(text, context.roots, repairs)
    ours = found.kind is PathKind.ABSOLUTE and is_ours(text, found, context)
    if ours and _is_longer(text, context):
        return Mention.LONGER
    held = mention(text, context.roots)
    return None if held is Mention.ENCODED and ours else held


def _is_longer(text: str, context: Context) -> bool:
    """Whether a text that begins with a path continues after it, with further file names or with words."""
    names = [piece for piece in _LISTED.split(text) if is_file_name(bare(piece), context)]
    words = [] if is_file_name(bare(text), context) else bare(text).split()
    return len(names) > 1 or any(is_file_name(bare(word), context) for word in words)


def is_ours(text: str, found: PathMeaning, context: Context) -> bool:
    """Whether a text is below a known root, whether or not it exists.

    A relative one must name a file, because "output/x" may be anything.
    """
    sure = any(target.sure for target in found.targets)
    return sure and (found.kind is PathKind.ABSOLUTE or is_file_name(bare(text), context))


def is_alien(text: str, found: PathMeaning, context: Context) -> bool:
    """Whether a text that is below no known root is certainly a local path of a file.

    One that begins with a single slash may just as well be the path of a web page.
    """
    return found.kind is PathKind.ABSOLUTE and is_windows(text) and is_file_name(bare(text), context)


def is_file_name(text: str, context: Context) -> bool:
    """Whether a text ends like media files, or like the files of some rule."""
    ending = text.rpartition(".")[2].lower()
    ours = any(rule.path.source.lower().endswith(f".{ending}") for rule in context.asset_map.rules)
    return "." in text and (ours or names_a_file(text))


def reason_of(answer: Answer, text: str) -> Reason:
    if answer.damaged:
        return Reason.DAMAGED_PATH
    return Reason.DANGLING if bare(text).startswith("gs://") else Reason.LOCAL_PATH
