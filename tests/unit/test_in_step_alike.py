"""Paths that differ in the id alone are read once: where that is not so, each is read by itself."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from reconcile.core.context import Context
from reconcile.core.in_step import Named, PlainRecords, QuietKeys, as_candidate
from reconcile.core.rows import Document, World
from reconcile.core.rules import AssetMap, AssetRule
from reconcile.core.stages import explode
from tests.kit.world import rule
from tests.unit.test_in_step import BUCKET, CONTEXT

USUAL = (
    rule("image", "characters/{char_id}*.png", "anime_image"),
    rule("remix", "remixes/{char_id}*/**/*", "deliverable"),
)


def _context(ids: Sequence[str], rules: Sequence[AssetRule] = USUAL) -> Context:
    return msgspec.structs.replace(CONTEXT, asset_map=AssetMap(tuple(rules)), known_ids=frozenset(ids))


def _read(context: Context, *named: tuple[str, str], field: str = "deliverable") -> list[list[Named] | None]:
    """The references of the records of these ids that each name one key, read one after the other."""
    plain = PlainRecords(context, QuietKeys(context.asset_map, context.known_ids))
    found = []
    for char_id, key in named:
        document = Document(char_id, {"assets": [{"title": "a", field: BUCKET.uri(key)}]}, "1")
        record = plain.read(document)
        references = None if record is None else record.references
        found.append(references)
        if references is not None:
            assert [as_candidate(each) for each in references] == list(explode(document, World.RECORDS, context))
    return found


def _types(*found: list[Named] | None) -> list[str | None]:
    return [None if each is None else each[0][-1] for each in found]


def test_a_path_of_another_id_has_the_type_of_the_one_before_it() -> None:
    context = _context(["ann", "jim"])
    assert _types(*_read(context, ("ann", "remixes/ann/x.mp4"), ("jim", "remixes/jim/x.mp4"))) == ["remix", "remix"]


def test_a_path_of_an_id_with_which_another_begins_has_none() -> None:
    context = _context(["ann", "jim", "jim_2"])
    named = [(each, f"remixes/{each}/x.mp4") for each in ("ann", "jim", "jim_2")]
    assert _types(*_read(context, *named)) == ["remix", None, None]


def test_a_path_that_a_rule_without_ids_may_take_has_none() -> None:
    context = _context(["ann", "jim"], (rule("shared", "remixes/jim/*.mp4", "deliverable"), *USUAL))
    named = [(each, f"remixes/{each}/x.mp4") for each in ("ann", "jim")]
    assert _types(*_read(context, *named)) == ["remix", None]


@pytest.mark.parametrize("inside", ["a(C:/oo/bar/output", "a=/mnt/media/output", "a{/mnt/media/output"])
def test_an_id_of_several_words_may_make_a_longer_text_of_a_path(inside: str) -> None:
    """The blank ends the URI, and what is behind it may be a local path of ours."""
    context = _context(["ann", "zero two"])
    _read(context, ("ann", f"remixes/ann/{inside}/x.mp4"), ("zero two", f"remixes/zero two/{inside}/x.mp4"))


@pytest.mark.parametrize("start", ["clips/(", 'clips/"', "clips/of "])
def test_a_path_without_the_id_is_not_read_as_one_that_ends_with_it(start: str) -> None:
    context = _context(["ann", "jim"], (rule("clip", start + "{char_id}*", "deliverable"),))
    _read(context, ("ann", f"{start}ann"), ("jim", start))


@pytest.mark.parametrize("char_id", ["ler", "x.part", "K", "caf\u00e9", "~a", "a;b"])
def test_an_id_that_may_be_part_of_a_leftovers_name_or_of_another_spelling_is_read_by_itself(char_id: str) -> None:
    context = _context(["ann", char_id], (rule("remix", "remixes/recyc{char_id}*/**/*", "deliverable"),))
    named = [(each, f"remixes/recyc{each}/x.mp4") for each in ("ann", char_id)]
    plain = QuietKeys(context.asset_map, context.known_ids)
    found = _types(*_read(context, *named))
    assert found[0] == "remix"
    assert found[1] in (None, plain.read_in(f"remixes/recyc{char_id}/x.mp4", char_id, "deliverable")[1])
