"""Checks that a new record was derived from the pipeline's own database: nothing added, moved or changed."""

# This inverse of `stages.creation` is kept on purpose: a plan file contains the finished record, so this check is all
# that ties a record to the local database, whoever wrote the file. Creating the record again instead would take a new
# survey (what is left out depends on which objects exist), after the run's uploads have changed the answer.

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from reconcile.core.changes import Need
from reconcile.core.names import BucketRoot
from reconcile.core.paths import is_separated
from reconcile.core.pattern import CHAR_ID
from reconcile.core.rules import AssetMap, AssetRule
from reconcile.core.way import Entries

_GONE = object()


def is_derived(
    made: Mapping[str, Any],
    source: Mapping[str, Any],
    needs: Iterable[Need],
    *,
    char_id: str,
    entries: Entries,
    bucket: BucketRoot,
    asset_map: AssetMap,
) -> bool:
    """Whether creating a record from ``source`` could have produced ``made``.

    A value is at its place in the source, and equal; or a text of the source is left out, or became the URI of a needed
    object. In a map of ``entries``, a field that a rule writes may receive such URIs, and a map may be added if the
    rule gives its key to a needed object.
    """
    keys = {bucket.uri(need.key): need.key for need in needs}
    return _Derivation(keys, char_id, entries.key, asset_map).of_level(made, source, entries.path)


class _Derivation(NamedTuple):
    """One comparison of a record with its source. ``keys`` are the URIs that the record may contain, each with its
    key."""

    keys: Mapping[str, str]
    char_id: str
    entry_key: str
    asset_map: AssetMap

    def of_level(self, made: Any, source: Any, path: Sequence[str]) -> bool:
        """Whether a map on the path to the entries, or the entries themselves, could have been derived."""
        if not path:
            return self._of_entries(made, source or [])
        source = {} if source is None else source
        if not isinstance(made, Mapping) or not isinstance(source, Mapping) or not made.keys() <= {*source, path[0]}:
            return False
        rest = (name for name in source if name != path[0])
        others = all(self._of_member(name, made.get(name, _GONE), source[name]) for name in rest)
        return others and self.of_level(made.get(path[0]), source.get(path[0]), path[1:])

    def _of_entries(self, made: Any, source: Any) -> bool:
        if not isinstance(made, list) or not isinstance(source, list) or len(made) < len(source):
            return False
        kept = zip(made, source, strict=False)
        return all(self._of_map(one, other) for one, other in kept) and all(map(self._is_new_map, made[len(source) :]))

    def _of_member(self, name: str, made: Any, source: Any) -> bool:
        """Whether a member of a map could have been derived: one whose name is a path may be left out entirely."""
        return (made is _GONE and is_separated(name)) or self._of_value(made, source)

    def _of_value(self, made: Any, source: Any) -> bool:
        """Whether a value outside the maps' fields could have been: only texts change, and only to a URI or to
        nothing."""
        if isinstance(source, str):
            return made is _GONE or made in (source, *self.keys) if _is_text(made) else made is _GONE
        if isinstance(source, Mapping):
            if not isinstance(made, Mapping) or not made.keys() <= source.keys():
                return False
            return all(self._of_member(name, made.get(name, _GONE), source[name]) for name in source)
        if isinstance(source, list):
            return isinstance(made, list) and self._of_list(made, source)
        return type(made) is type(source) and bool(made == source)

    def _of_list(self, made: Sequence[Any], source: Sequence[Any]) -> bool:
        """Whether a list could have been derived: the source's items in order, except texts that are left out."""
        at = 0
        for item in source:
            if at < len(made) and self._of_value(made[at], item):
                at += 1
            elif not isinstance(item, str):
                return False
        return at == len(made)

    def _of_map(self, made: Any, source: Any) -> bool:
        if not isinstance(made, Mapping) or not isinstance(source, Mapping):
            return False
        if made.get(self.entry_key, _GONE) != source.get(self.entry_key, _GONE):
            return False
        return all(self._of_field(name, made.get(name, _GONE), source.get(name)) for name in {*made, *source})

    def _of_field(self, name: str, made: Any, source: Any) -> bool:
        if self._of_member(name, made, source) or (made is _GONE and source is None):
            return True
        # A field that a rule writes may be filled if the source has only texts: with one URI, or several in a list.
        plain = source is None or isinstance(source, str) or (isinstance(source, list) and all(map(_is_text, source)))
        texts = made if isinstance(made, list) else [made]
        allowed = {*self.keys, *(source if isinstance(source, list) else ())}
        return name in self.asset_map.fields and plain and all(_is_text(text) and text in allowed for text in texts)

    def _is_new_map(self, made: Any) -> bool:
        if not isinstance(made, Mapping):
            return False
        title = made.get(self.entry_key)
        fields = {name: value for name, value in made.items() if name != self.entry_key}
        return bool(fields) and all(self._is_claimed(title, name, value) for name, value in fields.items())

    def _is_claimed(self, title: Any, name: str, value: Any) -> bool:
        texts = value if isinstance(value, list) else [value]
        rules = [rule for rule in self.asset_map.rules if rule.field == name]
        return bool(texts) and all(
            _is_text(text) and text in self.keys and any(title in self._titles(rule, self.keys[text]) for rule in rules)
            for text in texts
        )

    def _titles(self, rule: AssetRule, key: str) -> Collection[str]:
        """Returns the map keys that the rule gives to this object, for each character that its name could mean."""
        path = self.asset_map.path_of(key, rule.type)
        if path is None or rule.entry is None:
            return ()
        spans = rule.path.readings(path) if rule.names_character else ()
        read = [found for _, start, end in spans if (found := rule.path.match_span(path, start, end)) is not None]
        whole = rule.path.match(path)
        captures = [*read, *([whole] if whole is not None else [])]
        return {rule.entry.format({**each, CHAR_ID: self.char_id}) for each in captures}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
