"""Guesses the former roots from the absolute paths in records whose ends a rule claims."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec

from reconcile.core.changes import texts_in
from reconcile.core.names import fold
from reconcile.core.paths import PathKind, bare, meaning, root_forms
from reconcile.core.rules import AssetMap

MOST = 20
"""The maximum number of guessed roots. Unlimited, each temporary folder of one run would become a root in the rules
file."""


class Guess(msgspec.Struct, frozen=True):
    """The ``MOST`` roots that explain the most paths, with how many; ``paths`` counts all absolute paths found."""

    roots: dict[str, int]
    paths: int

    @property
    def explained(self) -> int:
        return sum(self.roots.values())


def guess_roots(documents: Iterable[Any], asset_map: AssetMap) -> Guess:
    """Guesses former roots from the texts in these values."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    paths = 0
    for text in (text for document in documents for text in texts_in(document)):
        meant = meaning(text, ())
        if meant.kind is not PathKind.ABSOLUTE:
            continue
        paths += 1
        tails = [each.path for each in meant.targets if asset_map.first_match(each.path) is not None]
        root = before(bare(text), max(tails, key=len, default=""))
        if root:
            counts[fold(root.replace("\\", "/"))][root] += 1
    found = {spelled.most_common(1)[0][0]: spelled.total() for spelled in counts.values()}
    return Guess(dict(sorted(found.items(), key=lambda each: (-each[1], each[0]))[:MOST]), paths)


def before(text: str, tail: str) -> str:
    """Returns the part of a path before this tail; empty if it could not be a root."""
    if not tail or not text.replace("\\", "/").endswith(f"/{tail}"):
        return ""
    root = text[: -len(tail) - 1]
    too_wide = any(set(form.parts) <= {".."} for form in root_forms(root).readings) if root else True
    return "" if too_wide or not root.isprintable() else root
