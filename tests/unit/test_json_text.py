"""The text of a JSON database, edited in place: it is read as JSON reads it, and changes where the value changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reconcile.adapters.jsondb.text import edits, members_of, same, splice

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
)
containers = st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=4), values, max_size=4)
layouts = st.fixed_dictionaries(
    {
        "indent": st.sampled_from([None, 0, 1, 2, 4, "\t"]),
        "ensure_ascii": st.booleans(),
    }
)


@given(value=containers, layout=layouts, pad=st.sampled_from(["", " ", "\r\n", "\t"]))
def test_the_scanner_reads_what_json_reads(value: Any, layout: dict[str, Any], pad: str) -> None:
    text = pad + json.dumps(value, **layout) + pad
    found, end = members_of(text, len(pad))
    members = [(member.key, member.value) for member in found]
    assert members == (list(value.items()) if isinstance(value, dict) else [("", one) for one in value])
    assert text[end:] == pad
    for member in found:
        assert same(json.loads(text[member.start : member.end]), member.value)


@given(value=containers, at=st.integers(0, 60), junk=st.sampled_from(["", ",", '"', "}", "]", ":", "\\", "1", "\n"]))
def test_the_scanner_refuses_what_json_refuses(value: Any, at: int, junk: str) -> None:
    text = json.dumps(value)
    text = text[:1] + text[1 : at + 1] + junk + text[at + 2 :]
    try:
        wanted = json.loads(text)
    except json.JSONDecodeError:
        wanted = None
    assume(wanted is None or isinstance(wanted, dict | list))
    try:
        _, end = members_of(text, 0)
        refused = bool(text[end:].strip())
    except json.JSONDecodeError:
        refused = True
    assert refused == (wanted is None)


@st.composite
def changed(draw: st.DrawFn, old: Any) -> Any:
    """The value with some leaves replaced and some members added; nothing is taken away."""
    if draw(st.integers(0, 5)) == 0:
        return draw(values)
    if isinstance(old, dict):
        return {key: draw(changed(one)) for key, one in old.items()} | draw(st.dictionaries(st.text(), scalars))
    if isinstance(old, list):
        return [draw(changed(one)) for one in old] + draw(st.lists(scalars, max_size=2))
    return old


@given(st.data(), containers)
def test_an_edited_text_reads_as_the_new_value(data: st.DataObject, old: Any) -> None:
    new = data.draw(changed(old))
    layout = data.draw(layouts)
    text = json.dumps(old, **layout)
    made = list(edits(text, 0, old, new, is_ascii=text.isascii()))
    assert same(json.loads(splice(text, made)), new)
    assert bool(made) == (not same(old, new))


@given(st.data(), layouts)
def test_an_edited_text_is_what_json_would_have_written(data: st.DataObject, layout: dict[str, Any]) -> None:
    entry = st.dictionaries(st.sampled_from(["title", "image", "video"]), st.text(max_size=6), min_size=1)
    document = st.fixed_dictionaries({"name": st.text("aé", min_size=1), "assets": st.lists(entry, min_size=1)})
    old = data.draw(st.dictionaries(st.sampled_from(["rem", "ram", "mei"]), document, min_size=2))
    text = json.dumps(old, **layout)
    assume(layout["ensure_ascii"] or not text.isascii())  # else the file does not tell which it is
    new = {
        one: {**fields, "assets": [{key: data.draw(st.text(max_size=6)) for key in each} for each in fields["assets"]]}
        for one, fields in old.items()
    }
    made = list(edits(text, 0, old, new, is_ascii=text.isascii()))
    assert splice(text, made) == json.dumps(new, **layout)


@pytest.mark.parametrize(
    ("old", "new", "alike"),
    [(1, 1, True), (1, 1.0, False), (1, True, False), (float("nan"), float("nan"), True), (0.0, -0.0, False),
     ([1], [1, 2], False), ({"a": 1}, {"b": 1}, False), ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True), (None, {}, False)],
)  # fmt: skip
def test_values_are_the_same_where_they_are_written_alike(old: Any, new: Any, alike: bool) -> None:
    assert same(old, new) is alike
