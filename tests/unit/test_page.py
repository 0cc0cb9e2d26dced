"""report: one page, as HTML or Markdown, in which every name is shown and none is obeyed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from markdown_it import MarkdownIt

from reconcile.__main__ import main
from reconcile.commands.report import standings
from reconcile.commands.status import Cell
from reconcile.core.changes import Change, Code, Finding, Severity
from reconcile.core.plan import Plan
from reconcile.core.status import StatusRow, Sync
from reconcile.views import page, page_data
from reconcile.views.markdown import inert, sentence
from tests.kit.pages import HOSTILE, hostile_plan, overview
from tests.kit.plans import BUCKET, STORES, creation, finding, plan, set_field, upload
from tests.kit.small_project import make_project, write
from tools import schemas


class Read(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.values: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.values += [value or "" for _, value in attrs]
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            self.scripts.append(data)
        elif inside == "style":
            self.styles.append(data)
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        """What is read without scripts."""
        return "".join(self.texts)

    @property
    def data(self) -> dict[str, Any]:
        """What the script draws."""
        found: dict[str, Any] = json.loads(self.scripts[0])
        return found

    @property
    def said(self) -> str:
        """All of it."""
        return "\n".join([self.text, *strings(self.data)])


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


PLAIN = Read(page.html(overview(plan()), plan(), {}))
EVERY = Read(page.html(overview(hostile_plan("x"), ["x", "y", "z"]), hostile_plan("x"), {}))


# -- what stands on it --


def read(made: Plan, names: list[str] | None = None, **changed: Any) -> Read:
    return Read(page.html(overview(made, names, **changed), made, {"anime_image": "Anime Image"}))


def test_the_page_holds_status_grid_changes_and_findings() -> None:
    made = plan([upload(), set_field()], [finding()])
    found = read(made, ["ai_hoshino", "rem"])
    for wanted in ("Anime Image", "121", "118", STORES.records):
        assert wanted in found.text
    for wanted in ("ai_hoshino", "rem", "Upload", "48.2 kB", "not in the bucket yet"):
        assert wanted in list(strings(found.data))
    assert "\tx.png" in list(strings(found.data)), "the finding's subject, below the bucket's URI"
    assert found.data["uri"] == "gs://my-bucket/anime_dance/"


def test_the_page_needs_nothing_else_and_lets_nothing_else_in() -> None:
    assert PLAIN.attributes.isdisjoint({"src", "action", "srcset", "data", "poster", "style", "onclick", "onload"})
    assert PLAIN.tags.isdisjoint({"link", "img", "iframe", "object", "embed", "base"})
    assert all(value.startswith("#") for value in PLAIN.links)
    (policy,) = (value for value in PLAIN.values if value.startswith("default-src"))
    rules = dict(each.strip().split(" ", 1) for each in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert {rules[name] for name in ("base-uri", "form-action", "trusted-types")} == {"'none'"}
    assert rules["script-src"] == hash_of(PLAIN.scripts[1])
    assert rules["style-src"] == hash_of(PLAIN.styles[0])
    assert "url(" not in PLAIN.styles[0]


def hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_script_makes_no_markup_of_what_it_is_given() -> None:
    script = PLAIN.scripts[1]
    for risky in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "fetch("):
        assert risky not in script


def test_the_tables_are_there_for_those_who_cannot_see_them() -> None:
    assert {"caption", "th", "main", "nav", "dialog", "noscript"} <= EVERY.tags
    assert {"scope", "aria-labelledby", "aria-label", "lang"} <= EVERY.attributes
    assert EVERY.values.count("col") == 8 + 4


@pytest.mark.parametrize(
    ("cell", "mark", "text", "counts"),
    [
        (Cell("a", "t", 2, 2, 2, 2, 2, 0, Sync.COMPLETE), "good", "✓ 2", [2]),
        (Cell("a", "t", 2, 3, 2, 2, 2, 0, Sync.COMPLETE), "good", "✓ 2", [2, 2, 0, 2, 3, 2]),
        (Cell("a", "t", 3, 2, 1, 3, 1, 2, Sync.PARTIAL), "todo", "▲ 1/3", [3, 1, 2, 3, 2, 1]),
        (Cell("a", "t", 1, 1, 0, 1, 0, 0, Sync.PARTIAL), "look", "! 0/1", [1, 0, 0, 1, 1, 0]),
        (Cell("a", "t", 0, 1, 0, 0, 0, 0, Sync.COMPLETE), "none", "·", [0, 0, 0, 0, 1, 0]),
    ],
    ids=["in step", "in step, with one more object", "to do", "to look at", "an orphan"],
)
def test_a_cell_says_how_it_stands(cell: Cell, mark: str, text: str, counts: list[int]) -> None:
    rows = (StatusRow("t", "T", 1, 1, 1, 1, 1, Sync.PARTIAL),)
    characters = (StatusRow(None, "a", 1, 1, 1, 1, 1, Sync.PARTIAL, "a"),)
    made = plan([], [])
    seen = overview(made, cells=(cell,), rows=rows, characters=characters)
    (character,) = Read(page.html(seen, made, {})).data["characters"]
    assert character[3] == [[0, ["none", "good", "todo", "look"].index(mark), *counts]]
    assert f"| {text} |" in page.markdown(seen, made, {})


def test_files_that_no_rule_takes_are_not_called_missing() -> None:
    row = StatusRow(None, "No rule", 119, 0, 0, 0, 0, Sync.MISSING)
    found = read(plan([], []), rows=(row,))
    assert "–" in found.text
    assert "missing" not in found.text


def test_the_totals_of_the_table_count_every_finding_that_needs_a_person() -> None:
    made = plan([], [worse("rem", Severity.ERROR), worse("rem", Severity.WARNING), finding()])
    row = StatusRow("anime_image", "Anime Image", 1, 2, 3, 4, 5, Sync.PARTIAL, attention=1)
    text = read(made, rows=(row, StatusRow(None, "No rule", 119, 0, 0, 0, 0, Sync.MISSING))).text
    assert "All" + "partial" + "5" + "2" + "4" + "120" + "2" + "3" in text
    calm = read(plan([], []), rows=(StatusRow("t", "T", 1, 1, 1, 1, 0, Sync.COMPLETE),)).text
    assert "Allcomplete" in calm


def test_what_needs_a_person_comes_first_then_what_is_not_in_sync() -> None:
    names = [f"c{at:02}" for at in range(9)]
    found = [worse("c06", Severity.ERROR), worse("c08", Severity.WARNING)]
    data = read(plan([upload(char_id="c03")], found), names).data
    order = [name for name, *_ in data["characters"]]
    assert order == ["c06", "c08", "c01", "c02", "c03", "c04", "c05", "c07", "c00"]
    assert [group[0] for group in data["groups"]] == ["error", "warning"]


def worse(char_id: str, severity: Severity) -> Finding:
    code = {Severity.ERROR: Code.MISSING_ASSET, Severity.WARNING: Code.EMPTY_FILE}[severity]
    return finding(code=code, severity=severity, char_id=char_id, subject=f"about {char_id}")


def test_a_waived_finding_is_told_apart() -> None:
    made = plan([], [finding(waived="known"), finding(code=Code.EMPTY_FILE, severity=Severity.WARNING)])
    groups = read(made).data["groups"]
    assert [(group[0], group[3]) for group in groups] == [("warning", 1), ("waived", 1)]
    assert groups[1][5][0][1] == "orphan_object: known"


def test_a_hint_is_said_once_of_its_kind_unless_it_names_what_the_finding_is_about() -> None:
    named = [finding(subject=name, hint=f"see `reconcile explain {name}`") for name in ("a.png", "b.png")]
    made = plan([], [finding(subject="c.png"), *named])
    (group,) = read(made).data["groups"]
    assert group[4] == ["nothing is deleted"]
    assert [row[5:] for row in group[5]] == [[each.hint] for each in named] + [[]]
    text = page.markdown(overview(plan([], [worse("c", Severity.ERROR)])), plan([], [worse("c", Severity.ERROR)]), {})
    assert text.count("To do: ") == 1


def test_files_that_no_rule_takes_need_nobody() -> None:
    cells = (Cell(None, None, 3, 0, 0, 3, 0, 0, Sync.MISSING), Cell("rem", None, 1, 0, 0, 1, 0, 0, Sync.MISSING))
    nobody = StatusRow(None, "No character", 3, 0, 0, 0, 0, Sync.MISSING)
    rem = StatusRow(None, "rem", 1, 0, 0, 0, 0, Sync.MISSING, "rem")
    data = read(plan([], []), cells=cells, characters=(rem, nobody)).data
    assert [(name, cells[0][1]) for name, _, _, cells, _ in data["characters"]] == [("rem", 0)]


def test_an_incomplete_plan_says_so_first() -> None:
    made = plan(complete=False)
    for text in (page.html(overview(made), made, {}), page.markdown(overview(made), made, {})):
        assert "This plan is incomplete" in text[: text.index("Status")]


def test_nothing_to_do_is_said() -> None:
    made = plan([], [])
    found = page.html(overview(made), made, {})
    assert "verdict calm" in found
    assert "Nothing to do." in Read(found).text
    assert "Nothing needs attention." in Read(found).text
    assert "Nothing to do." in page.markdown(overview(made), made, {})


# -- much of it --


def both(at: int) -> list[Change]:
    """What a file that is new comes to: its upload, and its field."""
    key, who = f"characters/c{at:04}.png", f"c{at:04}"
    old, new = rf"C:\oo\bar\output\{key}".replace("/", "\\"), BUCKET.uri(key)
    about = {"key": key, "document": f"characters/{who}", "old": old, "new": new, "id": f"set {key}"}
    return [upload(key, char_id=who), set_field(char_id=who, **about)]


def test_characters_are_taken_whole_as_far_as_there_is_room() -> None:
    made = plan([change for at in range(70) for change in both(at)])
    characters = standings(overview(made, [f"c{at:04}" for at in range(70)]), made)
    taken = page_data.room_for(characters, changes=101)
    assert sum(taken.values()) == 100, "fifty characters whole, and none in part"
    assert set(taken.values()) == {2}


def test_a_page_that_is_cut_says_so_at_its_top() -> None:
    one = [upload(f"characters/{at}.png") for at in range(page_data.CHANGES + 500)]
    made = plan([*one, *both(7)])
    found = read(made, ["ai_hoshino", "c0007"])
    top = found.text[: found.text.index("Findings")]
    assert "The page lists 9,000 of 9,502 changes, of 1 of 2 characters" in top
    totals = {name: (total, len(changes)) for name, total, _, _, changes in found.data["characters"]}
    assert totals == {"ai_hoshino": (9_500, 9_000), "c0007": (2, 0)}


def test_a_grid_that_is_cut_keeps_what_needs_a_person() -> None:
    names = [f"c{at:05}" for at in range(page_data.CHARACTERS + 3)]
    found = read(plan([], [worse(names[-1], Severity.ERROR)]), names)
    assert "The grid holds 5,000 of 5,003 characters, those that need a person first" in found.text
    assert found.data["characters"][0][0] == names[-1]
    assert len(found.data["characters"]) == page_data.CHARACTERS


def test_changes_of_characters_that_have_no_row_are_not_said_to_be_listed() -> None:
    count = page_data.CHARACTERS + 10
    made = plan([upload(f"characters/c{at:05}.png", char_id=f"c{at:05}") for at in range(count)], [])
    found = read(made, [f"c{at:05}" for at in range(count)])
    assert "The page lists 5,000 of 5,010 changes, of 5,000 of 5,010 characters" in found.text
    assert found.data["counts"] == [count, count]
    assert sum(len(changes) for *_, changes in found.data["characters"]) == 5000


def test_a_change_of_very_many_values_shows_the_first() -> None:
    many = {f"field_{at}": "x" for at in range(60)}
    uris = [f"gs://elsewhere/{at}" for at in range(60)]
    data = read(plan([creation(fields=many), set_field(char_id="rem", old=None, new=uris)], [])).data
    for change in next(changes for name, *_, changes in data["characters"] if name == "rem"):
        assert change[4][-1] == ["…", "60 in all"]
        assert len(change[4]) in (51, 52)


def test_the_record_of_another_character_is_named_whole() -> None:
    data = read(plan([set_field(char_id="ai", document="characters/ai_hoshino")], []), ["ai"]).data
    (change,) = data["characters"][0][4]
    assert change[3] == "ai_hoshino › primary › anime_image"


def test_findings_of_a_kind_are_cut_and_counted_whole() -> None:
    made = plan([], [finding(subject=str(at)) for at in range(page_data.FINDINGS_OF_A_KIND + 100)])
    (group,) = read(made).data["groups"]
    assert (group[3], len(group[5])) == (2100, 2000)


def test_a_long_value_is_cut_and_says_how_long_it_is() -> None:
    data = read(plan([creation(fields={"story": "x" * 5000})], [])).data
    (story,) = (text for text in strings(data) if text.startswith("xxx"))
    assert story == "x" * 400 + "… (5,000 characters)"


def test_two_thousand_characters_and_twelve_thousand_changes_are_below_a_megabyte_and_a_half() -> None:
    names = [f"chara_{at:04}" for at in range(2000)]
    types = ("anime_image", "dance_video", "kpop_version")
    changes: list[Change] = []
    for name in names:
        for asset_type in types:
            key = f"remixes/{name}_remix_01/result/[{asset_type}]_{name}.mp4"
            old, new = "C:\\oo\\bar\\output\\" + key.replace("/", "\\"), BUCKET.uri(key)
            changes.append(upload(key, char_id=name, asset_type=asset_type))
            changes.append(
                set_field(
                    id=key,
                    key=key,
                    char_id=name,
                    asset_type=asset_type,
                    document=f"characters/{name}",
                    old=old,
                    new=new,
                )
            )
    made = plan(changes)
    cells = tuple(Cell(name, kind, 1, 0, 0, 1, 0, 1, Sync.MISSING) for name in names for kind in types)
    seen = overview(made, names, cells=cells)
    assert len(page.html(seen, made, {}).encode()) < 1_500_000


def test_markdown_names_every_error_before_anything_else() -> None:
    made = plan(
        [upload(f"characters/{at:03}.png") for at in range(600)],
        [
            *[finding(subject=f"note {at}") for at in range(119)],
            worse("zz_last", Severity.ERROR),
            worse("zz_first", Severity.WARNING),
        ],
    )
    text = page.markdown(overview(made, [f"character_{at:03}" for at in range(121)] + ["zz_last"]), made, {})
    assert len(text) < 65_536 / 2
    order = ["`about zz_last`", "`about zz_first`", "### Status", "### Characters", "`zz_last`", "### Changes"]
    places = [text.index(each) for each in order[:4]]
    assert places == sorted(places)
    assert text.index("`zz_last` | 1 | 0 |") < text.index("`character_001`")
    assert "more that are not in step" in text
    assert "note 5" not in text, "notes are counted"
    assert "(119): objects that no record names" in text


def test_markdown_stays_within_a_comment_whatever_it_is_of() -> None:
    found = [
        finding(code=code, severity=Severity.ERROR, subject=f"{code} {at}", message="m" * 1000)
        for code in Code
        for at in range(30)
    ]
    made = plan([], found)
    text = page.markdown(overview(made), made, {})
    assert len(text.encode()) < 65_536
    assert text.count(" (30): ") == len(Code)


# -- names that mean harm --


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_is_obeyed_by_html(name: str) -> None:
    made = hostile_plan(name)
    seen = overview(made, [name, f"{name}2", f"{name}3"])
    text = page.html(seen, made, {name: name, "anime_image": name})
    text.encode()
    found = Read(text)
    assert found.tags == EVERY.tags
    assert found.attributes == EVERY.attributes
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "<" not in found.scripts[0]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    assert found.said.count(shown) >= len(Code) + 10
    assert all(each.lstrip("\t").isprintable() for each in strings(found.data))


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("preset", ["commonmark", "js-default"])
def test_no_name_is_obeyed_by_markdown(name: str, preset: str) -> None:
    made = hostile_plan(name)
    text = page.markdown(overview(made, [name, f"{name}2", f"{name}3"]), made, {name: name, "anime_image": name})
    text.encode()
    reader = MarkdownIt(preset, {"html": True}).enable("table")
    tokens = [each for token in reader.parse(text) for each in (token, *(token.children or ()))]
    kinds = {token.type for token in tokens}
    assert kinds.isdisjoint({"html_inline", "html_block", "link_open", "image", "em_open", "s_open", "fence", "hr"})
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h2", *["h3"] * 4]
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.count("|") for line in rows} == {9, 6}
    for token in tokens:
        if token.type == "text":  # a forge makes links and mentions of these outside a code span
            assert not any(odd in token.content for odd in ("http:", "www.", "@", "<", "‮", "\x1b"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Anime Image", "Anime Image"),
        ("K-Pop Version", "K-Pop Version"),
        ("121", "121"),
        ("", ""),
        ("日本語", "日本語"),
        ("ai_hoshino", "`ai_hoshino`"),
        ("- item", "`- item`"),
        ("1. item", "`1. item`"),
        ("a|b`c", r"`a\x7cb\x60c`"),
        ("a\nb", r"`a\nb`"),
    ],
)
def test_plain_words_stay_and_all_else_goes_into_a_code_span(text: str, shown: str) -> None:
    assert inert(text) == shown


@pytest.mark.parametrize(
    ("hint", "plain"),
    [
        ("nothing to do: the next run takes it", True),
        ("add an [[asset]] rule for it, or an `ignore` pattern; `reconcile rules test PATH` tries them", True),
        ("see [here](http://evil.example)", False),
        ("see [here] (there)", True),
        ("see www.evil.example", False),
        (":star:", False),
        ("a`b", False),
        ("_it_", False),
        ("@everyone", False),
        ("a\nb", False),
        ("`a|b`", False),
    ],
)
def test_a_hint_is_a_sentence_or_goes_into_a_code_span(hint: str, plain: bool) -> None:
    assert (sentence(hint) == hint) is plain
    assert plain or sentence(hint) == inert(hint)


# -- the command --


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "studio")


def report(project: Path, out: Path, *more: str) -> int:
    return main(["-C", str(project), "report", "--out", str(out), "--quiet", *more])


def test_report_writes_a_page_and_says_where(project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "p.html"
    assert report(project, out) == 0
    assert capfd.readouterr().out.startswith(f"wrote {out}\nPlan: 2 to upload")
    said = Read(out.read_text(encoding="utf-8")).said
    assert "remixes/ai_hoshino_x/result/[kpop]_x.mp4" in said
    assert "notes/:star: [b]todo.txt" in said
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_report_as_json_is_its_document(project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert report(project, tmp_path / "p.md", "--json") == 0
    found = json.loads(capfd.readouterr().out)
    jsonschema.validate(found, schemas.schema("report"), cls=jsonschema.Draft202012Validator)
    assert [row["label"] for row in found["characters"]] == ["ai_hoshino", "rem", "No character"]
    by_type = {(cell["char_id"], cell["asset_type"]): cell for cell in found["cells"]}
    assert by_type["rem", "anime_image"]["sync"] == "complete"
    assert by_type["ai_hoshino", "kpop_version"]["to_do"] == 1
    assert (tmp_path / "p.md").read_text(encoding="utf-8").startswith("## reconcile: ")


def test_the_cells_add_up_to_the_rows(project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report(project, tmp_path / "p.html", "--json")
    found = json.loads(capfd.readouterr().out)
    for counted in ("local", "bucket", "records", "in_step", "to_do"):
        sums = {sum(part[counted] for part in found[name]) for name in ("rows", "characters", "cells")}
        assert len(sums) == 1


def test_report_takes_a_scope(project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert report(project, tmp_path / "p.html", "--json", "--char-id", "rem", "--asset-type", "anime_image") == 0
    found = json.loads(capfd.readouterr().out)
    assert {cell["char_id"] for cell in found["cells"]} == {"rem"}
    assert [row["asset_type"] for row in found["rows"]] == ["anime_image"]
    assert "ai_hoshino" not in Read((tmp_path / "p.html").read_text(encoding="utf-8")).said


def test_an_incomplete_report_is_written_and_exits_1(project: Path, tmp_path: Path) -> None:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        write(project, "characters/gone.png", b"x")
        (project / "output" / "characters" / "gone.png").unlink()
        os.mkfifo(project / "output" / "characters" / "gone.png")
    else:
        (project / "output" / "characters").chmod(0)
    assert report(project, tmp_path / "p.html") == 1
    assert "This plan is incomplete" in (tmp_path / "p.html").read_text(encoding="utf-8")
    (project / "output" / "characters").chmod(0o755)


@pytest.mark.parametrize("name", ["p.txt", "p", "p.html/", ".html", "p.json", "missing/p.html"])
def test_a_name_that_is_no_page_is_refused_before_anything_is_read(project: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "p.html").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert report(project, tmp_path / name) == 64
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
@pytest.mark.parametrize("command", [("report",), ("plan",)])
def test_a_device_or_a_pipe_is_not_replaced(project: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    out = tmp_path / "p.html"
    os.mkfifo(out)
    assert main(["-C", str(project), *command, "--out", str(out), "--quiet"]) == 64
    assert stat.S_ISFIFO(out.stat().st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full disk")
def test_a_page_that_cannot_be_written_leaves_the_old_one(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    out = tmp_path / "p.html"
    assert report(project, out) == 0
    old = out.read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert main(["-C", str(project), "status", "--quiet"]) == 0  # so that nothing else is left to write
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # Python would cut its own files short too
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        code = report(project, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 64
    assert out.read_bytes() == old
    assert list(tmp_path.glob(".*")) == []


def test_a_report_changes_nothing_but_its_file(project: Path, tmp_path: Path) -> None:
    from tests.kit.workshop import snapshot

    before = snapshot(project)
    assert report(project, tmp_path / "p.html") == 0
    assert snapshot(project) == before
