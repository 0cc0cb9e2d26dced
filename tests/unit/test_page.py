"""report: one page, as HTML or Markdown, in which every name is shown and none is obeyed."""

from __future__ import annotations

import json
import os
import stat
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from markdown_it import MarkdownIt

from reconcile.__main__ import main
from reconcile.commands.status import REPORT_FORMAT as FORMAT
from reconcile.commands.status import Cell, Overview
from reconcile.core.changes import Code, Finding, Severity
from reconcile.core.plan import Plan, Scope
from reconcile.core.status import StatusRow, Sync
from reconcile.views import page
from reconcile.views.markdown import inert, sentence
from tests.kit.plans import STORES, creation, finding, plan, replacement, rewrite, set_field, upload
from tests.kit.small_project import make_project, write
from tools import schemas

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "[kpop]_x.mp4",
    "a](http://evil.example)",
    "![x](http://evil.example/x.png)",
    "http://evil.example/x",
    "www.evil.example",
    "@everyone",
    "someone@evil.example",
    "`code`",
    "``",
    "a|b",
    "a\\|b",
    "trailing\\",
    "line\nbreak\r\n# heading",
    "gpj.‮exe.png",
    "\x1b[31mred\x1b[0m\x07",
    "*bold* _it_ ~~no~~",
    "&lt;b&gt;&#60;",
    "<!-- -->",
    " ",
]


def overview(made: Plan, names: list[str] | None = None, **changed: Any) -> Overview:
    """Each name is a character with one asset in step, one to upload and one to look at, in turn."""
    cells = []
    for at, name in enumerate(names or ["ai_hoshino"]):
        in_step, to_do = [(1, 0), (0, 1), (0, 0)][at % 3]
        sync = Sync.COMPLETE if in_step else Sync.MISSING
        cells.append(Cell(name, "anime_image", 1, in_step, in_step, 1, in_step, to_do, sync))
    characters = tuple(
        StatusRow(
            None, cell.char_id or "", 1, cell.bucket, cell.records, cell.in_step, cell.to_do, cell.sync, cell.char_id
        )
        for cell in cells
    )
    values: dict[str, Any] = {
        "format": FORMAT,
        "out": "page.html",
        "created": made.created,
        "complete": made.complete,
        "scope": made.scope,
        "stores": made.stores,
        "summary": made.summary,
        "rows": (StatusRow("anime_image", "Anime Image", 121, 120, 118, 118, 3, Sync.PARTIAL),),
        "characters": characters,
        "cells": tuple(cells),
    }
    return Overview(**{**values, **changed})


def hostile_plan(name: str) -> Plan:
    """A plan in which every text from elsewhere is this name."""
    changes = [
        upload(name, char_id=name, asset_type=name),
        replacement(name, char_id=name, asset_type=name),
        set_field(document=f"characters/{name}", entry=name, field=name, old=name, new=[name, 1], char_id=None),
        rewrite(document=name, entry=name, field=name, old=[name], new=name),
        creation(document=f"characters/{name}", fields={name: name, "assets": [{"title": name}]}),
    ]
    found = [Finding(code, Severity.WARNING, f"{name}{at}", name, f"says {name}", name) for at, code in enumerate(Code)]
    return plan(changes, found, scope=Scope((name,), (name,)))


class Read(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.values: list[str] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.values += [value or "" for _, value in attrs]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


PLAIN = Read(page.html(overview(plan()), plan(), {}))
EVERY = Read(page.html(overview(hostile_plan("x"), ["x", "y", "z"]), hostile_plan("x"), {}))


# -- what stands on it --


def test_the_page_shows_status_grid_plan_and_findings() -> None:
    made = plan([upload(), set_field()], [finding()])
    text = Read(page.html(overview(made, ["ai_hoshino", "rem"]), made, {"anime_image": "Anime Image"})).text
    for wanted in ("Anime Image", "121", "118", "ai_hoshino", "rem", "✓ 1", "▲ 0/1", "1 of 1 in step"):
        assert wanted in text
    for wanted in (
        "Upload",
        "48.2 kB",
        "not in the bucket yet",
        "was",
        "now",
        made.findings[0].subject,
        STORES.records,
    ):
        assert wanted in text


def test_the_page_needs_nothing_else() -> None:
    assert PLAIN.attributes.isdisjoint({"src", "href", "action", "srcset", "data", "poster"})
    assert PLAIN.tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "base", "form", "svg"})
    assert any(value.startswith("default-src 'none'; style-src 'unsafe-inline'") for value in PLAIN.values)
    assert "url(" not in page.html(overview(plan()), plan(), {})


def test_the_tables_are_told_to_those_who_cannot_see_them() -> None:
    assert {"caption", "th", "details", "summary"} <= EVERY.tags
    assert {"scope", "aria-labelledby", "lang"} <= EVERY.attributes
    assert EVERY.values.count("col") == 7 + 2
    assert EVERY.values.count("row") == 1 + 3
    assert "0 of 1 in step, 1 to do: 1 local, 0 in the bucket, 0 in records" in EVERY.text
    assert "0 of 1 in step, see the findings" in EVERY.text


@pytest.mark.parametrize(
    ("cell", "text", "style"),
    [
        (Cell("a", "t", 2, 2, 2, 2, 2, 0, Sync.COMPLETE), "✓ 2", "good"),
        (Cell("a", "t", 3, 2, 1, 3, 1, 2, Sync.PARTIAL), "▲ 1/3", "todo"),
        (Cell("a", "t", 1, 1, 0, 1, 0, 0, Sync.PARTIAL), "! 0/1", "look"),
        (Cell("a", "t", 0, 1, 0, 0, 0, 0, Sync.COMPLETE), "·", "none"),
    ],
    ids=["in step", "to do", "to look at", "an orphan"],
)
def test_a_cell_says_how_it_stands(cell: Cell, text: str, style: str) -> None:
    rows = (StatusRow("t", "T", 1, 1, 1, 1, 1, Sync.PARTIAL),)
    characters = (StatusRow(None, "a", 1, 1, 1, 1, 1, cell.sync, "a"),)
    seen = overview(plan(), cells=(cell,), rows=rows, characters=characters)
    found = page.html(seen, plan(), {})
    assert f'<span class="mark {style}"' in found
    assert text in Read(found).text


def test_what_is_not_in_step_comes_first() -> None:
    names = [f"c{at:02}" for at in range(9)]
    text = Read(page.html(overview(plan(), names), plan(), {})).text
    grid = text[text.index("Character\n") :]
    order = sorted(names, key=grid.index)
    assert order == [*(name for at, name in enumerate(names) if at % 3), *names[::3]]


def test_an_incomplete_plan_says_so_first() -> None:
    made = plan(complete=False)
    for text in (page.html(overview(made), made, {}), page.markdown(overview(made), made, {})):
        assert "This plan is incomplete" in text[: text.index("Status")]


def test_nothing_to_do_is_said() -> None:
    made = plan([], [])
    found = page.html(overview(made), made, {})
    assert "verdict calm" in found
    assert "Nothing to do." in Read(found).text
    assert "Nothing to do." in page.markdown(overview(made), made, {})


def test_an_enormous_plan_is_shown_in_part_and_counted_whole() -> None:
    made = plan(
        [upload(f"characters/{at}.png") for at in range(2500)], [finding(subject=str(at)) for at in range(2100)]
    )
    text = Read(page.html(overview(made), made, {})).text
    assert "And 500 more: reconcile plan shows all 2,500 of them." in text
    assert "And 100 more: reconcile plan --verbose" in text


def test_markdown_of_the_users_world_fits_into_a_comment() -> None:
    made = plan(
        [upload(f"characters/{at:03}.png") for at in range(600)], [finding(subject=str(at)) for at in range(99)]
    )
    text = page.markdown(overview(made, [f"character_{at:03}" for at in range(121)]), made, {})
    assert len(text) < 65_536 / 2
    assert "41 of 121 characters need nothing." in text
    assert "more that are not in step" in text


# -- names that mean harm --


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_is_obeyed_by_html(name: str) -> None:
    made = hostile_plan(name)
    seen = overview(made, [name, f"{name}2", f"{name}3"])
    text = page.html(seen, made, {name: name, "anime_image": name})
    text.encode()
    read = Read(text)
    assert read.tags == EVERY.tags
    assert read.attributes == EVERY.attributes
    assert all(char.isprintable() or char == "\n" for char in text)
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    assert read.text.count(shown) >= len(Code) + 10


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
    assert [token.tag for token in tokens if token.type == "heading_open"] == ["h2", "h3", "h3", "h3", "h3"]
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.count("|") for line in rows} == {8, 3}
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
    read = Read(out.read_text(encoding="utf-8"))
    assert "remixes/ai_hoshino_x/result/[kpop]_x.mp4" in read.text
    assert "notes/:star: [b]todo.txt" in read.text
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
    assert "ai_hoshino" not in Read((tmp_path / "p.html").read_text(encoding="utf-8")).text


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
