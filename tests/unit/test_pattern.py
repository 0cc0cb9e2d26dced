"""The template language of the asset map."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.matching import Matcher
from reconcile.core.names import nfc
from reconcile.core.pattern import PatternError, Template
from reconcile.core.rules import AssetMap
from tests.kit.strategies import asset_paths, captures_of, keys, known_ids, paths, templates
from tests.kit.world import rule


@st.composite
def filled(draw: st.DrawFn) -> tuple[Template, dict[str, str]]:
    template = Template(draw(templates()))
    return template, dict(draw(captures_of(template)))


@pytest.mark.parametrize(
    ("source", "path", "captures"),
    [
        pytest.param("characters/a.png", "characters/a.png", {}, id="all else is literal"),
        pytest.param("characters/{char_id}.png", "characters/rem.png", {"char_id": "rem"}, id="a capture"),
        pytest.param("{a}.png", "x.tar.png", {"a": "x.tar"}, id="a capture takes as much as it can"),
        pytest.param("{a}_{b}.png", "x_y_z.png", {"a": "x_y", "b": "z"}, id="earlier captures are the longer ones"),
        pytest.param("{a}/{a}.png", "rem/rem.png", {"a": "rem"}, id="a repeated name says the same each time"),
        pytest.param("dance_*.mp4", "dance_.mp4", {"*0": ""}, id="a star may be empty"),
        pytest.param("*a*", "xay", {"*0": "x", "*1": "y"}, id="stars are counted"),
        pytest.param("r/**/x.mp4", "r/x.mp4", {"**0": ""}, id="two stars take no folder"),
        pytest.param("r/**/x.mp4", "r/a/b/x.mp4", {"**0": "a/b/"}, id="two stars take any number of folders"),
        pytest.param("**/*", "x", {"**0": "", "*0": "x"}, id="every file in every folder"),
        pytest.param("[kpop]_*.mp4", "[kpop]_x.mp4", {"*0": "x"}, id="brackets are ordinary"),
        pytest.param("a?#% (1).png", "a?#% (1).png", {}, id="question mark, hash, percent, blanks are ordinary"),
        pytest.param("a+b^$|.png", "a+b^$|.png", {}, id="signs of regular expressions are ordinary"),
        pytest.param("{a}.png", "a\nb.png", {"a": "a\nb"}, id="a line break in a name is part of it"),
        pytest.param("{a}.png", "初音ミク.png", {"a": "初音ミク"}, id="any alphabet"),
    ],
)
def test_a_template_matches(source: str, path: str, captures: dict[str, str]) -> None:
    assert Template(source).match(path) == captures
    assert Template(source).format(captures) == path


@pytest.mark.parametrize(
    ("source", "path"),
    [
        pytest.param("[kpop]_*.mp4", "k_x.mp4", id="brackets are no character class"),
        pytest.param("a?.png", "ab.png", id="a question mark is not a wildcard"),
        pytest.param("a.png", "a_png", id="a dot is a dot"),
        pytest.param("A.png", "a.png", id="case counts"),
        pytest.param("{a}.png", ".png", id="a capture is never empty"),
        pytest.param("{a}.png", "x/y.png", id="a capture is part of one name"),
        pytest.param("r/*.mp4", "r/a/x.mp4", id="a star is part of one name"),
        pytest.param("{a}/{a}.png", "rem/ram.png", id="a repeated name must repeat"),
        pytest.param("r/**/x.mp4", "r//x.mp4", id="two stars take whole folders"),
        pytest.param("r/**/x.mp4", "rx.mp4", id="two stars keep the slash before them"),
        pytest.param("r/**/x.mp4", "r/ax.mp4", id="two stars keep the slash behind them"),
        pytest.param("a.png", "a.png\n", id="a line break at the end is not overlooked"),
        pytest.param("a.png", "x/a.png", id="from the start"),
    ],
)
def test_a_template_does_not_match(source: str, path: str) -> None:
    assert Template(source).match(path) is None


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("", "the template is empty"),
        ("a\\b.png", "folders are separated by '/'"),
        ("/a.png", "no empty part"),
        ("a.png/", "no empty part"),
        ("a//b.png", "no empty part"),
        ("a/./b.png", "no empty part"),
        ("../b.png", "no empty part"),
        ("a/**b/c.png", "'**' stands for whole folders; in '**b'"),
        ("a/***/c.png", "'**' stands for whole folders"),
        ("a/**", "the last part names the file; write '**/*'"),
        ("**", "the last part names the file"),
        ("{a.png", "a single '{' in '{a.png'; a capture is written {name}"),
        ("a}.png", "a single '}'"),
        ("{a/b}.png", "a single '{'"),
        ("{{a}}.png", "a single '{'"),
        ("{}.png", "{} in '{}.png': a capture's name is lower-case letters"),
        ("{Name}.png", "{Name} in"),
        ("{1a}.png", "{1a} in"),
        ("{a b}.png", "{a b} in"),
        ("{*}.png", "{*} in"),
    ],
)
def test_what_is_no_template_is_refused_with_what_would_be_right(source: str, sentence: str) -> None:
    with pytest.raises(PatternError) as caught:
        Template(source)
    assert sentence in str(caught.value)


@given(filled())
def test_what_a_template_makes_it_matches_and_makes_again(case: tuple[Template, dict[str, str]]) -> None:
    template, captures = case
    path = template.format(captures)
    found = template.match(path)
    assert found is not None
    assert template.format(found) == path


@given(templates(), keys())
def test_what_a_template_matches_it_makes_again(source: str, path: str) -> None:
    found = Template(source).match(path)
    assert found is None or Template(source).format(found) == path


@given(st.data())
def test_captures_come_back_where_text_that_is_in_none_of_them_parts_them(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(("{char_id}", "{a}", "{b}", "*")), min_size=1, max_size=4, unique=True))
    template = Template("#".join(names) + "#/**/#.png")
    captures = dict(data.draw(captures_of(template)))
    assert template.match(template.format(captures)) == captures


@given(filled())
def test_every_match_begins_with_the_prefix_of_its_captures(case: tuple[Template, dict[str, str]]) -> None:
    template, captures = case
    path = template.format(captures)
    names = list(captures)
    for count in range(len(names) + 1):
        assert path.startswith(template.prefix({name: captures[name] for name in names[:count]}))
    assert path.startswith(template.literal_prefix)


@given(filled())
def test_a_fixed_capture_has_just_that_value(case: tuple[Template, dict[str, str]]) -> None:
    template, captures = case
    path = template.format(captures)
    for name, value in captures.items():
        found = template.match(path, {name: value})
        assert found is not None
        assert found[name] == value
        assert template.format(found) == path


@given(filled())
def test_the_samples_of_a_template_match_it(case: tuple[Template, dict[str, str]]) -> None:
    template = case[0]
    assert template.samples()
    assert all(template.match(sample) is not None for sample in template.samples())


def test_a_missing_capture_is_an_error() -> None:
    with pytest.raises(KeyError):
        Template("{a}.png").format({})


def test_templates_of_one_source_are_equal() -> None:
    assert Template("{a}.png") == Template("{a}.png")
    assert len({Template("{a}.png"), Template("{a}.png"), Template("{b}.png")}) == 2
    assert Template("a") != "a"


@pytest.mark.parametrize(
    ("source", "path", "expected"),
    [
        ("dances/dance_{char_id}*.mp4", "dances/dance_rem_2.v1.mp4", ["rem_2.v1.mp4", "rem_2.v1", "rem_2", "rem"]),
        ("remixes/{char_id}*/x.mp4", "remixes/rem-a b/x.mp4", ["rem-a b", "rem-a", "rem"]),
        ("{char_id}.png", "rem.png", ["rem.png", "rem"]),
        ("dances/dance_{char_id}*.mp4", "other/rem.mp4", []),
        ("x/*.png", "x/rem.png", []),
    ],
    ids=["ends at underscore, dot and end", "ends at dash, blank and slash", "a dot", "another prefix", "no id at all"],
)
def test_an_id_ends_at_a_boundary_the_longest_first(source: str, path: str, expected: list[str]) -> None:
    assert [value for value, _, _ in Template(source).readings(path)] == expected


@pytest.mark.parametrize(
    ("source", "path"),
    [
        pytest.param("v/**/x{char_id}.mp4", "v/a/xrem.mp4", id="behind text that is not a boundary"),
        pytest.param("v/**/REMIX{char_id}*.mp4", "v/REMIX/REMIXrem_1.mp4", id="behind text that stands twice"),
        pytest.param("v/*{char_id}*.mp4", "v/cut rem_1.mp4", id="behind a star, at a boundary"),
        pytest.param("v/**/{char_id}/x.mp4", "v/a/b/rem/x.mp4", id="a whole folder"),
        pytest.param("{a}/{char_id}.mp4", "a_b/rem.mp4", id="behind a capture and a slash"),
        pytest.param("{char_id}/{char_id}_1.mp4", "rem/rem_1.mp4", id="an id that stands twice"),
    ],
)
def test_an_id_is_found_wherever_its_template_puts_it(source: str, path: str) -> None:
    template = Template(source)
    found = [template.match_span(path, start, end) for value, start, end in template.readings(path) if value == "rem"]
    assert any(each is not None and each["char_id"] == "rem" for each in found)
    assert all(template.format(each) == path for each in found if each is not None)


def test_an_id_behind_a_wildcard_begins_at_a_boundary() -> None:
    values = {value for value, _, _ in Template("v/*{char_id}.mp4").readings("v/grem.mp4")}
    assert "rem" not in values


@given(filled())
def test_a_span_that_fits_gives_captures_that_make_the_path(case: tuple[Template, dict[str, str]]) -> None:
    template, captures = case
    path = template.format(captures)
    for value, start, end in template.readings(path):
        found = template.match_span(path, start, end)
        assert found is None or (found["char_id"] == value and template.format(found) == path)
        assert found is None or found.keys() == set(template.names)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("characters/{char_id}.png", True),
        ("characters/{char_id}.tar.gz", True),
        ("remixes/{char_id}/x.mp4", True),
        ("{char_id}", True),
        ("characters/{char_id}_cosplay.png", False),
        ("dances/dance_{char_id}.mp4", False),
        ("remixes/{char_id}*/x.mp4", False),
        ("remixes/x.mp4", False),
    ],
)
def test_a_whole_name_says_which_characters_there_are(source: str, expected: bool) -> None:
    assert Template(source).is_whole_name("char_id") is expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [("{char_id}x.png", True), ("a/{char_id}[v].png", True), ("{char_id}_x.png", False), ("{char_id}*.png", False)],
)
def test_text_right_behind_an_id_must_be_a_boundary(source: str, expected: bool) -> None:
    assert Template(source).follows_without_boundary("char_id") is expected


@pytest.mark.parametrize("source", ["{a}", "**/*", "x"])
def test_a_template_shows_its_source(source: str) -> None:
    shown: Any = repr(Template(source))
    assert source in shown


@pytest.mark.parametrize(
    ("source", "path"),
    [
        pytest.param("*a" * 10 + "b.png", "a" * 250 + ".png", id="many stars in one name"),
        pytest.param("{a}_{b}_{c}_{d}_{e}_{f}.png", "_" * 240 + ".mp4", id="many captures in one name"),
        pytest.param("**/x/" * 12 + "y", "x/" * 500 + "z", id="many stars for folders"),
        pytest.param("{a}_{b}-{a}*{b}*{a}.png", "ab_" * 80 + ".png", id="captures that stand twice"),
        pytest.param(
            "{char_id}/{char_id}" + "*_" * 8 + ".png", "_" * 200 + "/" + "_" * 200, id="an id that stands twice"
        ),
    ],
)
def test_no_name_makes_a_template_try_for_ever(source: str, path: str) -> None:
    """A matcher that goes back on its choices would not end on these."""
    template = Template(source)
    assert template.match(path) is None
    assert not template.takes(path)
    assert all(template.match_span(path, start, end) is None for _, start, end in list(template.readings(path))[:100])


def test_many_captures_that_match_are_told_apart_at_once() -> None:
    found = Template("{a}" + "*_" * 10 + "{b}.png").match("x" * 100 + "_" * 100 + "y.png")
    assert found is not None
    assert (found["a"], found["b"]) == ("x" * 100 + "_" * 90, "y")


def test_captures_that_stand_twice_are_the_longest_first_ones() -> None:
    assert Template("{a}_{b}-{a}_{b}.png").match("x_y_z-x_y_z.png") == {"a": "x_y", "b": "z"}
    assert Template("{a}/{b}/{a}_{b}.png").match("rem/night 2/rem_night 2.png") == {"a": "rem", "b": "night 2"}
    assert Template("{a}/{b}/{a}_{b}.png").match("rem/night 2/rem_night 3.png") is None


class Unguarded(Template):
    """A template that asks its whole expression of every path."""

    def takes(self, path: str) -> bool:
        return Matcher(self.parts).takes(nfc(path))


@given(source=templates(), path=asset_paths() | paths(), known=known_ids())
def test_the_literal_ends_of_a_template_say_no_only_to_what_it_does_not_take(
    source: str, path: str, known: frozenset[str]
) -> None:
    rules = (rule("one", source), rule("other", "remixes/{char_id}*/**/*"))
    plain = [msgspec.structs.replace(each, path=Unguarded(each.path.source)) for each in rules]

    assert Template(source).takes(path) is Unguarded(source).takes(path)
    assert AssetMap(rules).read(path, known) == AssetMap(tuple(plain)).read(path, known)


@given(filled())
def test_a_template_takes_what_it_formats(pair: tuple[Template, dict[str, str]]) -> None:
    template, captures = pair
    path = template.format(captures)

    assert template.takes(path)
    assert path.startswith(template.literal_prefix)
    assert path.endswith(template.literal_suffix)


@pytest.mark.parametrize(
    ("source", "is_alone"),
    [
        ("characters/{char_id}.png", True), ("{char_id}_x.png", True), ("a/{char_id}/b.png", True),
        ("a_{char_id}", True),
        ("a/{char_id}x.png", False), ("a/{char_id}_{n}.png", False), ("a/*_{char_id}.png", False),
        ("{char_id}/{char_id}.png", False), ("a/b.png", False),
    ],
)  # fmt: skip
@given(path=paths() | st.text("ax_b/{.pngé ", max_size=12).map("a/{}_x.png".format) | asset_paths())
def test_an_id_that_is_alone_has_one_reading(source: str, is_alone: bool, path: str) -> None:
    template = Template(source)
    assert template.has_id_alone is is_alone
    if is_alone:
        spans = (template.match_span(path, start, end) for _, start, end in template.readings(path))
        assert [found for found in spans if found is not None] == [each for each in [template.match(path)] if each]


@given(
    source=st.sampled_from(["c/{char_id}.png", "{char_id}_x.png", "a/{char_id}/b", "a_{char_id}", "{char_id}"]),
    path=st.text("abcx_./\n\u00e9\u0301", max_size=10),
    whole=st.booleans(),
)
def test_a_template_whose_id_is_alone_takes_what_it_matches(source: str, path: str, whole: bool) -> None:
    template = Template(source)
    path = source.replace("{char_id}", path) if whole else path
    assert template.takes(path) is (template.match(path) is not None)
