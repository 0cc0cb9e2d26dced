"""A plan as people read it: an asset a line, a character a line when that is too long, in columns of any width."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconcile.cli.pager import pager
from reconcile.core.changes import (
    Change,
    Code,
    Copy,
    CreateRecord,
    Finding,
    Need,
    Reason,
    SetField,
    SetMetadata,
    Severity,
    Upload,
)
from reconcile.core.plan import Plan
from reconcile.views.plan import show_plan
from reconcile.views.terminal import ASCII, Terminal, cells
from tests.kit.bench_project import AtTerminal
from tests.unit.test_views import make_plan

LABELS = {"anime_image": "Anime Image", "kpop": "K-Pop Version", "music": "AI Music"}
BUCKET = "gs://my-bucket/anime_dance"


def upload(key: str, char_id: str | None, asset_type: str = "kpop", size: int = 7_200) -> Upload:
    return Upload(
        id=f"u{key}",
        key=key,
        char_id=char_id,
        asset_type=asset_type,
        reason=Reason.MISSING_IN_BUCKET,
        uri=f"{BUCKET}/{key}",
        size=size,
        crc32c="mnG7TA==",
    )


def field(key: str, char_id: str, name: str = "kpop_video", **values: Any) -> SetField:
    given: dict[str, Any] = {
        "asset_type": "kpop",
        "reason": Reason.UNTRACKED,
        "document": f"characters/{char_id}",
        "entry": "primary",
        "old": None,
        "new": f"{BUCKET}/{key}",
        "needs": (Need(key, "mnG7TA=="),),
        **values,
    }
    return SetField(id=f"f{key}{name}", key=key, char_id=char_id, field=name, **given)


def shown(plan: Plan | list[Change], *, full: bool = False, encoding: str = "utf-8", **size: int) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="backslashreplace")
    whole = plan if isinstance(plan, Plan) else make_plan(plan)
    show_plan(Terminal(stream, "never", **size), whole, LABELS, full=full)
    stream.flush()
    return raw.getvalue().decode(encoding)


def rows(text: str) -> list[str]:
    """The lines of assets."""
    return [
        line for line in text.splitlines() if line[:2] == "  " and line[2:4] in ("↑~", "↑ ", " ~", "= ", "* ", " +")
    ]


def test_an_upload_and_its_field_are_one_line() -> None:
    key = "remixes/02_idol/result/[kpop]_02_idol.mp4"
    assert rows(shown([upload(key, "02", size=49_000), field(key, "02")])) == [
        f"  ↑~ K-Pop Version  {key}  49.0 kB  → 02 › primary › kpop_video"
    ]


def test_the_bucket_is_named_once() -> None:
    key = "dances/02.mp4"
    assert shown([upload(key, "02"), field(key, "02")]).count(BUCKET) == 1


@pytest.mark.parametrize(
    ("old", "reason", "is_shown"),
    [
        (None, Reason.UNTRACKED, False),
        ("", Reason.UNTRACKED, False),
        (r"C:\oo\bar\output\dances\02.mp4", Reason.LOCAL_PATH, False),
        (f"{BUCKET}/dances/lost.mp4", Reason.DANGLING, True),
    ],
)
def test_an_old_value_is_shown_if_it_is_neither_empty_nor_the_same_path(
    old: str | None, reason: Reason, is_shown: bool
) -> None:
    changes: list[Change] = [field("dances/02.mp4", "02", old=old, reason=reason)]
    assert (f"was  {old}" in shown(changes)) is is_shown
    assert "now  " not in shown(changes)
    full = shown(changes, full=True)
    assert f"was  {'(nothing)' if old is None else old}" in full
    assert f"now  {BUCKET}/dances/02.mp4" in full


def test_what_an_undo_puts_back_is_shown() -> None:
    back = field("dances/02.mp4", "02", old=f"{BUCKET}/dances/02.mp4", new=r"C:\x.mp4", reason=Reason.UNDO, needs=())
    assert "was  gs://my-bucket/anime_dance/dances/02.mp4\n" in shown([back])
    assert "now  C:\\x.mp4\n" in shown([back])


def test_several_places_of_one_file_are_on_its_line() -> None:
    key = "characters/mei.png"
    both: list[Change] = [field(key, "mei", "anime_image"), field(key, "mei", "thumbnail")]
    assert rows(shown(both)) == [f"   ~ K-Pop Version  {key}  → mei › primary › anime_image, mei › primary › thumbnail"]


def test_what_goes_into_an_index_is_one_line_and_no_field() -> None:
    kinds = [
        field("a", "02", "asset_types", at=("asset_types",), old=None, new=[each], asset_type=each, entry=None)
        for each in ("kpop", "music")
    ]
    found = shown([field("a", "02"), *kinds])
    assert rows(found)[1] == "   ~ Index             → 02 › asset_types  adds 2 types"
    assert "1 field and 2 index entries to set in 1 record" in found
    assert "adds  kpop, music\n" in shown([*kinds], full=True)


def test_copies_types_and_new_records_have_signs_that_the_legend_explains() -> None:
    of = {"char_id": "02", "uri": f"{BUCKET}/x", "size": 9, "crc32c": "mnG7TA=="}
    changes: list[Change] = [
        Copy(
            id="1",
            key="dances/02.mp4",
            asset_type="kpop",
            reason=Reason.MISSING_IN_BUCKET,
            source=f"{BUCKET}/dances/old.mp4",
            source_generation=1,
            **of,
        ),
        SetMetadata(
            id="2",
            key="dances/2.mp4",
            asset_type="kpop",
            reason=Reason.GENERIC_TYPE,
            content_type="video/mp4",
            old=None,
            if_generation_match=1,
            if_metageneration_match=1,
            **of,
        ),
        CreateRecord(
            id="3",
            char_id="02",
            reason=Reason.MISSING_RECORD,
            document="characters/02",
            fields={"name": "Ai"},
            needs=(),
        ),
    ]
    found = shown(changes)
    assert "= copy in the bucket  * set the content type  + create the record\n" in found
    assert "upload" not in found.partition("\n\n02")[0]
    assert [line[2:4] for line in rows(found)] == ["= ", "* ", " +"]
    assert f"from  {BUCKET}/dances/old.mp4" in found
    assert "was  (nothing)" in found
    assert "now  video/mp4" in found


MANY = [
    change
    for number in range(100)
    for key in [f"remixes/c{number % 40:02}/result/[kpop]_{number}.mp4"]
    for change in (upload(key, f"c{number % 40:02}"), field(key, f"c{number % 40:02}"))
]


def test_more_than_a_screenful_is_a_line_a_character_between_two_tables() -> None:
    found = shown(list(MANY), width=100, height=30)
    assert rows(found) == []
    heads = [line for line in found.splitlines() if line.startswith(("asset type", "character"))]
    assert [head.split()[0] for head in heads] == ["asset", "character", "asset"]
    assert "\nc07              3   21.6 kB       3\n" in found
    assert "\ntotal          100  720.0 kB     100\n" in found
    assert "--full shows each asset" in found
    assert len(rows(shown(list(MANY), full=True, width=100, height=30))) == 100
    assert len(rows(shown(list(MANY), width=100, height=400))) == 100


def test_a_character_with_nothing_but_an_error_is_in_the_list() -> None:
    lost = Finding(Code.MISSING_ASSET, Severity.ERROR, "characters/zz", "zz", "is lost", "render it")
    found = shown(make_plan(list(MANY), [lost]), width=100, height=30)
    assert "\nzz               -         -       -          1\n" in found
    assert "\ntotal          100  720.0 kB     100          1\n" in found


def test_of_very_many_characters_the_first_are_listed() -> None:
    changes: list[Change] = [upload(f"dances/{number}.mp4", f"c{number:04}") for number in range(1000)]
    found = shown(changes, width=100, height=30)
    assert "\nand 800 more characters\n" in found
    assert [line.split() for line in found.splitlines() if line.startswith("total")] == [
        ["total", "1,000", "7.2", "MB"]
    ]
    assert len(found.splitlines()) < 230


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize(
    "name", ["plain", "[kpop]_x", "[bold red]x", ":star:", "星野アイ_推しの子", "neon rain close up", "a\x1b[31mb"]
)
def test_lines_break_between_words_and_never_within(width: int, name: str) -> None:
    key = f"remixes/{name}_festival_night/variants/{name} [v2] neon rain.mp4"
    lost = Finding(Code.MISSING_ASSET, Severity.ERROR, name, None, f'names "C:\\out\\{key}", which is nowhere', "do it")
    plan = make_plan([upload(key, name), field(key, name, entry=f"{name} [v2] neon rain")], [lost])
    for line in shown(plan, width=width).splitlines():
        last = line.split(" ")[-1]
        assert cells(line) <= width or " " not in line.strip() or cells(last) > width // 2
    whole = shown(plan)
    assert set(shown(plan, full=True, width=width).split()) == set(shown(plan, full=True).split())
    assert " ".join(whole.split())[:20] == " ".join(shown(plan, width=width).split())[:20]


def test_a_path_is_shortened_only_with_a_hint_and_never_so_that_two_look_alike() -> None:
    twice: list[Change] = [
        upload(f"remixes/{folder}_{'long_' * 10}/result/generated_kpop_music.mp3", "02", "music") for folder in "ab"
    ]
    for changes, hinted in ((twice, False), ([twice[0]], True), ([upload("a.mp4", "02")], False)):
        found = shown(changes, width=80)
        assert ("--full shows each path whole" in found) is hinted
    assert shown(twice, width=80).count("long_/result/generated_kpop_music.mp3") == 2
    assert "remixes/…/generated_kpop_music.mp3" in shown([twice[0]], width=80)


def test_signs_that_an_encoding_lacks_are_written_in_ascii() -> None:
    found = shown([upload("dances/02.mp4", "02"), field("dances/02.mp4", "02")], encoding="ascii")
    assert "  ^~ K-Pop Version  dances/02.mp4  7.2 kB  -> 02 > primary > kpop_video\n" in found
    assert "\\u" not in found
    assert "".join(ASCII).isascii()


# -- the commands --


def test_a_saved_plan_is_shown_as_plan_shows_it(run: Any, project: Path, tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    made = run("plan", "--out", str(saved))
    assert "`reconcile -C" in made.err
    found = run("show", str(saved))
    assert found.code == 0
    assert found.out == made.out
    assert run("show", str(saved), "--full").out == run("plan", "--full").out.replace("apply`", f"apply {saved}`")
    again = run("plan", "--json").document("plan")
    assert run("show", str(saved), "--json").document("plan") | {"created": again["created"]} == again
    (project / "rules" / "asset_map.toml").unlink()
    assert "kpop_version" in run("show", str(saved)).out


def test_what_is_not_a_plan_is_not_shown(run: Any, tmp_path: Path) -> None:
    assert run("show", str(tmp_path / "none.json")).code == 64
    (tmp_path / "torn.json").write_text('{"format": "reconcile.plan/1"', encoding="utf-8")
    assert run("show", str(tmp_path / "torn.json")).code == 64


def test_the_next_command_says_what_was_looked_at(run: Any, project: Path) -> None:
    last = run("plan", "--char-id", "ai_hoshino", "--asset-type", "anime_image").out.splitlines()[-1]
    assert last == f"Next: `reconcile -C {project} apply --char-id ai_hoshino --asset-type anime_image`"


# -- the pager --


@pytest.mark.parametrize(
    ("environ", "command"),
    [
        ({"PAGER": "cat"}, []),
        ({"PAGER": ""}, []),
        ({"PAGER": "no-such-pager -x"}, []),
        ({"PAGER": "sh -c 'cat; true'"}, ["sh", "-c", "cat; true"]),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="sh")
def test_the_pager_is_the_one_of_the_environment(environ: dict[str, str], command: list[str]) -> None:
    assert list(pager({"PATH": "/usr/bin:/bin", **environ})) == command


@pytest.mark.skipif(sys.platform == "win32", reason="terminals here are POSIX")
@pytest.mark.parametrize(("options", "is_paged"), [(["--full"], True), (["--full", "--no-pager"], False), ([], False)])
def test_only_the_whole_plan_goes_through_the_pager(project: Path, options: list[str], is_paged: bool) -> None:
    line = [sys.executable, "-m", "reconcile", "plan", "-q", *options]
    at = AtTerminal(["/usr/bin/env", "PAGER=sed s/^/paged:/", *line], project)
    assert at.wait() == 0
    assert ("paged:Local" in at.text) is is_paged
    assert b"Plan: 2 to upload" in at.seen


@pytest.mark.skipif(sys.platform == "win32", reason="a shell's pipe")
def test_a_pipe_is_never_paged(project: Path) -> None:
    line = [sys.executable, "-m", "reconcile", "-C", str(project), "plan", "-q", "--full"]
    done = subprocess.run(line, env={"PATH": "/usr/bin:/bin", "PAGER": "false"}, capture_output=True, check=True)
    assert b"Plan: 2 to upload" in done.stdout
