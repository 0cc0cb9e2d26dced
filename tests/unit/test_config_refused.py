"""A rules file that is wrong: each complaint has file, line, what is wrong and what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconcile.config.settings import load
from reconcile.core.errors import ConfigError
from tests.kit.rules_file import LINES, refusal, rules

ASSET = '[[asset]]\ntype = "x"\n'
REFUSED: list[Any] = [
    # unknown keys
    pytest.param(rules(L2='rot = "output"'), 2, "unknown key 'rot' in [local]", "'root'", id="a key misspelt"),
    pytest.param(rules(L36='lable = "x"'), 36, "unknown key 'lable' in [asset]", "'label'", id="in the second asset"),
    pytest.param(
        rules(L8='zzz = "x"'), 8, "unknown key 'zzz' in [bucket]", "takes endpoint, uri", id="nothing like it"
    ),
    pytest.param(
        rules(L7="[buckets]"), 7, "unknown key 'buckets' in the rules file", "'bucket'", id="an unknown table"
    ),
    pytest.param(rules(L1='[ "locale" ]'), 1, "unknown key 'locale'", "'local'", id="an unknown quoted table"),
    pytest.param("x = 1\n" + rules(), 1, "unknown key 'x' in the rules file", "takes asset", id="a key in no table"),
    pytest.param(rules(more="[[assets]]\n"), 41, "unknown key 'assets'", "'asset'", id="an unknown array"),
    # wrong types
    pytest.param(rules(L2="root = 5"), 2, "root = 5 is not a text", 'root = "…"', id="a number for a text"),
    pytest.param(
        rules(L37="path = 5"), 37, "path = 5 is not a text", 'path = "…"', id="a number for a text without default"
    ),
    pytest.param(rules(L3='previous_roots = "x"'), 3, "is not a list of texts", '["…", "…"]', id="a text for a list"),
    pytest.param(rules(L4="ignore = [1]"), 4, "ignore = [1] is not a list of texts", "ignore = [", id="a number in it"),
    pytest.param(rules(L5='settle = "2"'), 5, "settle = '2' is not a number", "settle = 2", id="a text for a number"),
    pytest.param(rules(L5="settle = true"), 5, "settle = True is not a number", "settle = 2", id="a flag for a number"),
    pytest.param(rules(L5="settle = -1"), 5, "not a sensible wait", "0 to 86400", id="a wait below zero"),
    pytest.param(rules(L5="settle = 86401"), 5, "not a sensible wait", "0 to 86400", id="a wait of more than a day"),
    pytest.param(rules(L5="settle = nan"), 5, "not a sensible wait", "0 to 86400", id="a wait of nan"),
    pytest.param(rules(L5=f"settle = 1{'0' * 400}"), 5, "settle is too large", "settle = 2", id="a wait of a googol"),
    pytest.param(
        rules(L19='rewrite = "no"'), 19, "rewrite = 'no' is neither true nor false", "rewrite = false", id="flag"
    ),
    pytest.param(
        rules(L24="create_records = 1"), 24, "neither true nor false", "create_records = true", id="1 for true"
    ),
    pytest.param(
        rules(L24='content_types = "maybe"'), 24, 'not one of "fix", "report"', "write one of", id="a type policy"
    ),
    pytest.param("local = 5\n", 1, "local is not a table", "write [local]", id="a value for a table"),
    pytest.param("local = {root = 5}\n", 1, "root = 5 is not a text", 'root = "…"', id="in an inline table"),
    pytest.param("\nlocal.root = 5\n", 2, "root = 5 is not a text", 'root = "…"', id="in a dotted key"),
    pytest.param(
        "\n".join([*LINES[:25], "[asset]", *LINES[26:32]]), 26, "not an array of tables", "[[asset]]", id="one asset"
    ),
    # values
    pytest.param(rules(L2='root = " "'), 2, "the local root is empty", "output", id="no root"),
    pytest.param(
        rules(L3=r"previous_roots = ['C:\']"), 3, "anything would count as ours", "output", id="a drive as root"
    ),
    pytest.param(rules(L3='previous_roots = ["/"]'), 3, "anything would count as ours", "output", id="/ as a root"),
    pytest.param(rules(L3='previous_roots = ["a", ""]'), 3, "anything would count", "output", id="an empty root"),
    pytest.param(rules(L3='previous_roots = ["./."]'), 3, "anything would count as ours", "output", id="a dot as root"),
    pytest.param(
        rules(L3='previous_roots = ["../.."]'), 3, "anything would count", "output", id="only dotdots as root"
    ),
    pytest.param(rules(L8='uri = "my-bucket"'), 8, "'my-bucket' is not gs://", "gs://my-bucket/", id="no gs://"),
    pytest.param(rules(L8=None), 7, "[bucket] has no uri", "gs://my-bucket/", id="no bucket"),
    pytest.param(rules(L12='uri = "firestore://p/c"'), 12, "is not firestore://", "my-project", id="no database"),
    pytest.param(rules(L12='uri = "firestore://p/d/c/x"'), 12, "is not firestore://", "my-project", id="a document"),
    pytest.param(rules(L12='uri = "firestore://p//c"'), 12, "is not firestore://", "my-project", id="an empty part"),
    pytest.param(rules(L12='uri = "gs://p/d/c"'), 12, "is not firestore://", "my-project", id="another scheme"),
    pytest.param(rules(L12=None), 11, "[records] has no uri", "firestore://", id="no records"),
    pytest.param(rules(L14='entries = ""'), 14, "entries is empty", 'entries = "assets"', id="no entries"),
    pytest.param(rules(L15='entry_key = ""'), 15, "entry_key is empty", 'entry_key = "title"', id="no entry key"),
    pytest.param(rules(L18='path = ""'), 18, "[local_db] has no path", "leave it out", id="an empty database path"),
    pytest.param(rules(L18=None), 17, "[local_db] has no path", "data/characters.json", id="no database path"),
    pytest.param(rules(L22='replace = "always"'), 22, "not one of", '"safe", "local", "never"', id="replace"),
    pytest.param(rules(L22="replace = true"), 22, "replace = True is not one of", '"safe"', id="replace = true"),
    pytest.param(rules(L23='max_replace = "ten"'), 23, "'ten' is not a limit", '"10%" or "25"', id="not a limit"),
    pytest.param(rules(L23="max_replace = -1"), 23, "'-1' is not a limit", '"10%" or "25"', id="a limit below zero"),
    pytest.param(rules(L23="max_replace = 0.1"), 23, "max_replace = 0.1 is not a text", "max_replace", id="a fraction"),
    pytest.param(rules(L23=f"max_replace = 1{'0' * 400}"), 23, "is not a limit", '"10%"', id="a limit of a googol"),
    # asset rules
    pytest.param("\n".join(LINES[:24]), 1, "the rules have no [[asset]]", "reconcile init", id="no rules"),
    pytest.param(rules(L35=None), 34, "a [[asset]] has no type", 'type = "…"', id="no type"),
    pytest.param(rules(L37=None), 34, "a [[asset]] has no path", 'path = "…"', id="no path"),
    pytest.param(rules(L35='type = "an image"'), 35, "'an image' is not an asset type", "letters", id="a blank in it"),
    pytest.param(rules(L35='type = ""'), 35, "'' is not an asset type", "letters", id="an empty type"),
    pytest.param(
        rules(L36='label = "x"\naliases = ["COSPLAY_image"]'),
        37,
        "already means",
        "one of the two",
        id="an alias twice",
    ),
    pytest.param(rules(L35='type = "cosplay_image"'), 35, "two rules have the type", "its own", id="two of one type"),
    pytest.param(rules(L40='many = "all"'), 40, "many = 'all' is not one of", '"newest", "list"', id="many"),
    pytest.param(rules(L37='path = "a\\\\b.png"'), 37, "separated by '/'", "rules file", id="a backslash"),
    pytest.param(rules(L37='path = "../a.png"'), 37, "no '..'", "rules file", id="a dotdot"),
    pytest.param(rules(L37='path = "a/**"'), 37, "the last part names the file", "rules file", id="** at the end"),
    pytest.param(rules(L37='path = "{Char}.png"'), 37, "{Char} in", "rules file", id="a capital in a name"),
    pytest.param(rules(L39='entry = "a/b"'), 39, "without '/' and '*'", "rules file", id="a slash in an entry"),
    pytest.param(rules(L39='entry = "{x}"'), 39, "uses {x}, which path does not capture", "must hold {x}", id="entry"),
    pytest.param(rules(L39='entry = ""'), 39, "the template is empty", "rules file", id="an empty entry"),
    pytest.param(
        rules(L38='field = "title"'), 38, "no rule may write it", "holds the asset", id="the entry key as field"
    ),
    # rules that can never match
    pytest.param(
        rules(L37='path = "{char_id}x.png"'), 37, "can never match: an id ends at", "behind {char_id}", id="bound"
    ),
    pytest.param(
        rules(L37='path = "a/{char_id}.tmp"'), 4, "ignore holds '*.tmp', which leaves out", "narrower", id="ignored"
    ),
    pytest.param(rules(L37='path = "a.tmp/*.png"'), 4, "ignore holds '*.tmp'", "narrower", id="an ignored folder"),
    pytest.param(rules(L4='ignore = ["{a}.png"]'), 4, "ignore holds '{a}.png'", "in braces", id="braces in ignore"),
    pytest.param(
        rules(L4='ignore = ["output/drafts/"]'),
        4,
        "is read below the root 'output'",
        "'drafts/'",
        id="the root in ignore",
    ),
    pytest.param(
        rules(L2='root = "D:/media/output"', L4='ignore = ["media/output/x.png"]'),
        4,
        "is read below the root",
        "'x.png'",
        id="more of the root in ignore",
    ),
    pytest.param(rules(L4='ignore = ["~/x"]'), 4, "a home folder is not read", "a name at any", id="home in ignore"),
    pytest.param(rules(L4='ignore = ["/srv/x"]'), 4, "relative to the root", "a name at any", id="absolute in ignore"),
    pytest.param(rules(L4='ignore = ["C:/srv/x"]'), 4, "a drive is never", "a name at any", id="a drive in ignore"),
    pytest.param(rules(L4='ignore = ["../x"]'), 4, "no '..'", "a name at any", id="a climb in ignore"),
    pytest.param(
        rules(L29='path = "characters/{char_id}.png"', L37='path = "characters/{char_id}_cosplay.png"'),
        37,
        "the rule 'cosplay_image' before it matches all of it",
        "put this rule before 'cosplay_image'",
        id="behind a rule that takes all of it",
    ),
    pytest.param(
        rules(L37='path = "characters/x*_cosplay.png"'), 37, "matches all of it", "before", id="the same, unnamed"
    ),
    pytest.param(
        rules(L29='path = "**/*.png"'), 37, "matches all of it", "before", id="behind one that takes everything"
    ),
    pytest.param(
        rules(L29='path = "{a}/{b}.png"', L37='path = "x/{a}.png"'), 37, "matches all", "before", id="wider names"
    ),
    # object templates
    pytest.param(
        rules(more=ASSET + 'path = "x/{a}_{b}.mp4"\nobject = "x/{a}.mp4"\n'),
        44,
        "cannot be turned back",
        "just the names",
        id="a name left out",
    ),
    pytest.param(
        rules(more=ASSET + 'path = "x/{a}.mp4"\nobject = "x/{a}{b}.mp4"\n'),
        44,
        "cannot be turned back",
        "just the names",
        id="a name of its own",
    ),
    pytest.param(
        rules(more=ASSET + 'path = "x/{a}.mp4"\nobject = "x/*.mp4"\n'),
        44,
        "cannot be turned back",
        "just the names",
        id="a wildcard for a name",
    ),
    pytest.param(
        rules(more=ASSET + 'path = "x/{a}_{b}.mp4"\nobject = "x/{b}_{a}.mp4"\n'),
        44,
        "two paths could give one key",
        "keep the text",
        id="names turned round in one part",
    ),
    pytest.param(
        rules(more=ASSET + 'path = "x/{a}/{b}.mp4"\nobject = "x/{a}{b}.mp4"\n'),
        44,
        "two paths could give one key",
        "keep the text",
        id="names run together",
    ),
    pytest.param(
        rules(more=ASSET + 'path = "x/{a}/{b}.mp4"\nobject = "x/{a}-{b}.mp4"\n'),
        44,
        "two paths could give one key",
        "keep the text",
        id="a folder turned into a dash",
    ),
]


@pytest.mark.parametrize(("text", "line", "what", "right"), REFUSED)
def test_a_wrong_rules_file_is_refused_with_file_line_what_is_wrong_and_what_would_be_right(
    tmp_path: Path, text: str, line: int, what: str, right: str
) -> None:
    found = refusal(tmp_path, text)
    assert found.message.startswith(f"{tmp_path / 'rules' / 'asset_map.toml'}:{line}: ")
    assert what in found.message
    assert right in found.hint


def test_a_key_is_found_in_its_own_table_and_not_in_another_of_that_name(tmp_path: Path) -> None:
    text = rules(L8="uri = 3", L12="uri = 4")
    assert ":8: " in refusal(tmp_path, text).message
    assert ":12: " in refusal(tmp_path, rules(L12="uri = 4")).message


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        pytest.param(rules(L5="settle = "), 5, "is not TOML", id="a value missing"),
        pytest.param(rules(L3='previous_roots = ["C:\\oo"]'), 3, "is not TOML", id="backslashes between double quotes"),
        pytest.param(rules(L9='uri = "twice"'), 9, "is not TOML", id="a key twice"),
        pytest.param("[local]\nroot = 'output", 2, "is not TOML", id="torn"),
        pytest.param("[local]\nignore = [\n  'a',\n", 3, "is not TOML", id="torn in a list"),
        pytest.param(b"[local]\nroot = '\xff'\n", 2, "is not UTF-8 text", id="not UTF-8"),
        pytest.param(rules().encode("utf-16"), 1, "is not UTF-8 text", id="UTF-16"),
        pytest.param("a = " + "[" * 50_000, 1, "is nested too deep", id="nested without end"),
    ],
)
def test_what_is_no_toml_is_refused_with_the_line(tmp_path: Path, text: str | bytes, line: int, what: str) -> None:
    found = refusal(tmp_path, text)
    assert f"asset_map.toml:{line}: {what}" in found.message
    assert found.hint


def test_an_empty_file_lacks_everything(tmp_path: Path) -> None:
    assert "[bucket] has no uri" in refusal(tmp_path, "").message


@pytest.mark.parametrize("size", range(0, len("\n".join(LINES[:25])), 23))
def test_rules_that_are_torn_before_the_first_asset_are_refused(tmp_path: Path, size: int) -> None:
    assert "asset_map.toml:" in refusal(tmp_path, rules()[:size]).message


def test_without_a_rules_file_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no rules file") as caught:
        load(tmp_path, None, {})
    assert "reconcile init" in caught.value.hint


def test_a_rules_file_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rules" / "asset_map.toml").mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, None, {})
