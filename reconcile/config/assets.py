"""Reads and checks the asset map of a rules file: its ``[[asset]]`` tables."""

from __future__ import annotations

import re
from collections.abc import Iterable

from reconcile.config.toml import Table, Texts
from reconcile.core.names import fold
from reconcile.core.pattern import BOUNDARIES, CHAR_ID, PatternError, Template
from reconcile.core.reach import Reach, Selection
from reconcile.core.rules import AssetMap, AssetRule, Many

DEFAULT_IGNORE = ("*.tmp", "*.part", ".DS_Store", "Thumbs.db", "desktop.ini")
_ASSET_KEYS = {"type", "label", "aliases", "path", "object", "field", "entry", "many"}


def read_asset_map(top: Table, local: Table, ignore: tuple[str, ...], root: str, entry_key: str) -> AssetMap:
    tables = top.tables("asset", _ASSET_KEYS)
    if not tables:
        raise top.error("asset", "the rules have no [[asset]]", "`reconcile init` writes a file that has some")
    rules: list[AssetRule] = []
    for table in tables:
        rule = _rule(table)
        if rule.field == entry_key:
            what = f"field = {entry_key!r} is what tells the maps apart, and no rule may write it"
            raise table.error("field", what, "name the field that holds the asset")
        if any(other.type == rule.type for other in rules):
            raise table.error("type", f"two rules have the type {rule.type!r}", "give each rule a type of its own")
        _refuse_taken_names(table, rule, rules)
        _refuse_unmatchable(table, rule, rules)
        _refuse_ignored(local, table, rule, ignore)
        rules.append(rule)
    _refuse_root_in_ignore(local, ignore, root, [rule.path for rule in rules])
    return AssetMap(tuple(rules))


def read_ignore(local: Table) -> tuple[str, ...]:
    patterns: Texts = local.value("ignore", Texts, DEFAULT_IGNORE)
    for pattern in patterns:
        try:
            Selection([pattern])
        except PatternError as error:
            right = 'a name at any depth as "*.tmp", a path as "characters/wip_*.png", a folder as "drafts/" or "**/x/"'
            raise local.error("ignore", f"ignore holds {pattern!r}, which can never match: {error}", right) from error
    return patterns


def _refuse_taken_names(table: Table, rule: AssetRule, others: Iterable[AssetRule]) -> None:
    """Raises ConfigError for an alias that could mean another rule's type, or a type that is another rule's alias."""
    for other in others:
        names = {fold(name): name for name in (other.type, *other.aliases)}
        for name in rule.aliases:
            if fold(name) in names:
                what = f"{names[fold(name)]!r} already means {other.type!r}"
                raise table.error("aliases", what, "take it out of one of the two rules")
        if fold(rule.type) in {fold(name) for name in other.aliases}:
            what = f"{rule.type!r} is an alias of {other.type!r}"
            raise table.error("type", what, "take it out of that rule's aliases")


def _rule(table: Table) -> AssetRule:
    asset_type = table.text("type")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", asset_type):
        raise table.error("type", f"{asset_type!r} is not an asset type", 'use letters, digits and "_"')
    path = _template(table, "path")
    field = table.text("field", "") or None
    entry = _template(table, "entry") if table.has("entry") else Template("primary") if field else None
    rule = AssetRule(
        type=asset_type,
        label=table.text("label", asset_type),
        path=path,
        object=_template(table, "object") if table.has("object") else None,
        field=field,
        entry=entry,
        many=table.value("many", Many, Many.REPORT),
        aliases=table.value("aliases", Texts, ()),
    )
    _check_names(table, rule)
    return rule


def _template(table: Table, key: str) -> Template:
    text = table.text(key)
    try:
        if key == "entry" and ("/" in text or "*" in text):
            raise PatternError("an entry's key is literal text and {name}, without '/' and '*'")
        return Template(text)
    except PatternError as error:
        raise table.error(key, f"{key} = {text!r}: {error}", "see the comment at the top of the rules file") from error


def _check_names(table: Table, rule: AssetRule) -> None:
    if rule.object is not None and sorted(rule.object.names) != sorted(rule.path.names):
        message = f"object = {rule.object.source!r} cannot be turned back into a path"
        raise table.error("object", message, f"use just the names and wildcards of path = {rule.path.source!r}")
    if rule.object is not None and not _is_invertible(rule.path, rule.object):
        message = f"object = {rule.object.source!r} cannot be turned back into a path: two paths could give one key"
        raise table.error("object", message, f"keep the text between the names as in path = {rule.path.source!r}")
    if rule.entry is not None:
        extra = set(rule.entry.names) - set(rule.path.names) - {CHAR_ID}
        if extra:
            message = f"entry = {rule.entry.source!r} uses {{{min(extra)}}}, which path does not capture"
            raise table.error("entry", message, f"path = {rule.path.source!r} must hold {{{min(extra)}}}")


def _is_invertible(path: Template, key: Template) -> bool:
    """Whether every key leads back to its path; tested with captures that contain the templates' own text, as names
    may."""
    texts = {token.text for template in (path, key) for part in template.parts for token in part}
    for text in sorted({*BOUNDARIES, *texts}):
        captures = {
            name: f"q{at}/" if name.startswith("**") else f"q{at}{text}z{at}" for at, name in enumerate(path.names)
        }
        back = key.match(key.format(captures))
        if back is None or path.format(back) != path.format(captures):
            return False
    return True


def _refuse_ignored(local: Table, table: Table, rule: AssetRule, ignore: tuple[str, ...]) -> None:
    """Raises ConfigError for patterns of ``ignore`` that leave nothing for a rule, with ``ignore``'s line if
    written."""
    samples = rule.path.samples()
    if not all(map(Selection(ignore).ignores, samples)):
        return
    patterns = [each for each in ignore if any(map(Selection([each]).ignores, samples))]
    what = f"ignore holds {', '.join(map(repr, patterns))}, which leaves out every file of path = {rule.path.source!r}"
    right = "make the pattern narrower, or take the rule out; a name in braces stands for any text, as * does"
    raise local.error("ignore", what, right) if local.has("ignore") else table.error("path", what, right)


def _refuse_root_in_ignore(local: Table, ignore: tuple[str, ...], root: str, paths: list[Template]) -> None:
    """Raises ConfigError for patterns of ``ignore`` that begin with the root's own folders, below which no rule
    matches."""
    folders = [part for part in root.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    for pattern in ignore:
        for size in range(len(folders), 0, -1):
            start = "/".join(folders[-size:]) + "/"
            if pattern.startswith(start) and not Reach(paths).enters(start):
                inner = pattern.removeprefix(start) or "**"
                what = f"ignore holds {pattern!r}, which is read below the root {root!r} and matches nothing there"
                raise local.error("ignore", what, f"write it relative to the root: {inner!r}")


def _refuse_unmatchable(table: Table, rule: AssetRule, earlier: list[AssetRule]) -> None:
    if rule.path.follows_without_boundary(CHAR_ID):
        message = f"path = {rule.path.source!r} can never match: an id ends at '_', '-', '.', a space or the name's end"
        raise table.error("path", message, "put one of these behind {char_id}")
    samples = rule.path.samples()
    for other in earlier:
        if all(_takes(other, rule, sample) for sample in samples):
            message = (
                f"path = {rule.path.source!r} can never match: the rule {other.type!r} before it matches all of it"
            )
            raise table.error("path", message, f"put this rule before {other.type!r}")


def _takes(other: AssetRule, rule: AssetRule, sample: str) -> bool:
    """Whether the earlier rule would match this path whichever characters are known.

    If both find an id, it must be the same one, or one that the whole name makes known.
    """
    if other.path.match(sample) is None:
        return False
    if not (rule.names_character and other.names_character) or other.path.is_whole_name(CHAR_ID):
        return True
    ids = [value for value, start, end in rule.path.readings(sample) if rule.path.match_span(sample, start, end)]
    return all(other.path.match(sample, {CHAR_ID: value}) is not None for value in ids)
