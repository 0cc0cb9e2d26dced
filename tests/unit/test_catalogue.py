"""list: a row an asset, how each stands, who lacks what, and rows that are written as they come."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given

from reconcile import Asset, AssetState, Project
from reconcile.config.settings import Policy
from reconcile.core.catalogue import Lacking, Listed, Mark
from reconcile.core.context import Replacing
from reconcile.core.errors import StoreUnavailable, UsageError
from reconcile.core.events import Event, Warned
from reconcile.core.flat import packed, unpacked
from reconcile.core.plan import Scope
from reconcile.core.rows import FileProblem, Stream
from reconcile.pipeline.catalogue import Catalogue, with_urls
from reconcile.ports import DesiredObject
from reconcile.views.catalogue import show_assets, show_csv, show_json
from reconcile.views.terminal import Terminal
from tests.kit.fakes import digest
from tests.kit.search import sparingly
from tests.kit.small_project import URI, open_records
from tests.kit.world import World, titled, windows
from tests.kit.worlds import Spec, specs
from tools import schemas

KEY = "characters/rem.png"


@pytest.fixture
def world() -> Iterator[World]:
    with World() as made:
        yield made


def listed(world: World, *char_ids: str, types: tuple[str, ...] = ()) -> list[Asset]:
    return list(Catalogue(world, Scope(char_ids, types)))


def states(world: World) -> dict[str, AssetState]:
    return {asset.uri.removeprefix(f"{world.bucket}/"): asset.state for asset in listed(world)}


# -- the rows --


def test_a_row_says_whose_it_is_where_the_record_names_it_and_what_the_object_is(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY)))
    (row,) = listed(world)

    seen = world.objects.all()[KEY]
    assert row == Asset(
        char_id="rem",
        asset_type="anime_image",
        entry="primary",
        field="anime_image",
        uri=world.uri(KEY),
        size=len(KEY),
        content_type="image/png",
        updated=seen.updated,
        local=False,
        bucket=True,
        state=AssetState.IN_STEP,
    )


def test_a_file_that_no_record_names_has_the_place_that_its_rule_gives_it(world: World) -> None:
    world.record("rem")
    world.file(KEY, b"12345")
    (row,) = listed(world)

    assert (row.entry, row.field, row.size, row.content_type, row.updated) == ("primary", "anime_image", 5, None, None)
    assert (row.local, row.bucket, row.state) == (True, False, AssetState.UPLOAD)


def test_each_state_is_told(world: World) -> None:
    world.record("rem", titled(anime_image=world.both(KEY), cosplay_image=windows("characters/rem_cosplay.png")))
    world.object("characters/rem_cosplay.png")
    world.record("mei", titled(anime_image=world.uri("characters/mei.png"), dance_video="gs://my-bucket/x"))
    world.file("dances/dance_rem_b.mp4", b"ours")
    world.object("dances/dance_rem_b.mp4", b"theirs")
    world.file("dances/dance_rem_c.mp4")
    world.file("dances/dance_rem_d.mp4", problem=FileProblem.UNSETTLED)
    world.object("somebody/else.bin")
    world.file("notes.txt")

    assert states(world) == {
        KEY: AssetState.IN_STEP,
        "characters/rem_cosplay.png": AssetState.RECORD,
        "characters/mei.png": AssetState.MISSING,
        "dances/dance_rem_b.mp4": AssetState.HELD,
        "dances/dance_rem_c.mp4": AssetState.UPLOAD,
        "dances/dance_rem_d.mp4": AssetState.HELD,
        "somebody/else.bin": AssetState.ORPHAN,
    }


def test_an_object_of_a_wrong_type_says_that_this_is_to_be_set(world: World) -> None:
    uri = world.uri(KEY)
    world.record("rem", titled(anime_image=uri))
    world.objects.put(DesiredObject(KEY, 1, digest(b"a"), "text/plain", 0), io.BytesIO(b"a"))

    assert states(world) == {KEY: AssetState.METADATA}
    world.apply()
    assert [(row.state, row.content_type) for row in listed(world)] == [(AssetState.IN_STEP, "image/png")]


def test_a_file_that_replaces_its_object_says_so() -> None:
    with World(policy=Policy(replace=Replacing.LOCAL)) as world:
        world.record("rem", titled(anime_image=world.object(KEY, b"old")))
        world.file(KEY, b"new")

        assert states(world) == {KEY: AssetState.REPLACE}


def test_an_asset_that_two_records_name_has_a_row_for_each(world: World) -> None:
    uri = world.object("remixes/both/result/generated_kpop_music.mp3")
    world.record("rem", titled(ai_music=uri))
    world.record("mei", titled(ai_music=uri), titled("duet", ai_music=uri))

    assert [(row.char_id, row.entry) for row in listed(world)] == [("mei", "primary"), ("rem", "primary")]
    assert [row.char_id for row in listed(world, "rem")] == ["rem"]


def test_after_an_apply_everything_is_in_step(world: World) -> None:
    world.record("rem", titled(anime_image=windows(KEY)))
    world.file(KEY)
    assert states(world) == {KEY: AssetState.UPLOAD}
    world.apply()

    assert states(world) == {KEY: AssetState.IN_STEP}


@sparingly(40)
@given(specs())
def test_the_catalogue_and_the_status_table_count_the_same_assets(spec: Spec) -> None:
    with spec.build() as world:
        tallies = world.survey().tallies
        rows = listed(world)

    by_uri = {row.uri: row for row in rows if row.asset_type is not None}
    in_step = Counter(row.asset_type for row in by_uri.values() if row.state is AssetState.IN_STEP)
    in_bucket = Counter(row.asset_type for row in by_uri.values() if row.bucket)
    for asset_type in {kind for kind, _ in tallies if kind is not None}:
        of_type = [tally for (kind, _), tally in tallies.items() if kind == asset_type]
        assert in_step[asset_type] == sum(tally.in_step for tally in of_type)
        assert in_bucket[asset_type] == sum(tally.bucket for tally in of_type)


@sparingly(40)
@given(specs())
def test_a_catalogue_that_does_not_fit_in_memory_is_the_same(spec: Spec) -> None:
    with spec.build() as world:
        whole = listed(world)
    with spec.build() as world:
        world.options = type(world.options)(memory=1)
        small = listed(world)

    def known(rows: list[Asset]) -> list[tuple[Any, ...]]:
        seen = ((r.char_id or "", r.uri, r.entry or "", r.field or "", r.size or 0, r.state.value) for r in rows)
        return sorted(seen)

    assert known(small) == known(whole)


def test_a_row_on_disk_is_the_row_in_memory() -> None:
    row = Listed("a\udcff", (_asset(1), _asset(2)), pending=True)

    assert unpacked(packed(Stream.LISTED, row)) == (Stream.LISTED, row)
    for mark in (Mark("a\udcff", state) for state in AssetState):
        assert unpacked(packed(Stream.MARK, mark)) == (Stream.MARK, mark)


# -- what lacks, and URLs --


def test_missing_says_which_characters_have_no_asset_of_a_type(world: World) -> None:
    world.record("rem", titled(anime_image=world.both(KEY)))
    world.record("mei", titled(anime_image=world.uri("characters/mei.png")))
    world.file("dances/dance_mei.mp4")
    scope = Scope((), ("anime_image", "dance_video"))
    found = list(Catalogue(world, scope).lacking())

    assert found == [Lacking("mei", "anime_image"), Lacking("rem", "dance_video")]


def test_what_is_in_the_bucket_gets_a_url_of_the_signer_and_the_rest_none(world: World) -> None:
    world.record("rem", titled(anime_image=world.object(KEY), cosplay_image=world.uri("characters/rem_cosplay.png")))
    rows = with_urls(Catalogue(world, Scope()), "https://signed/{}".format, world.bucket)

    assert {row.state: row.url for row in rows} == {
        AssetState.IN_STEP: f"https://signed/{KEY}",
        AssetState.MISSING: None,
    }


# -- from Python --


def test_a_projects_assets_are_typed_rows(folder: Path) -> None:
    rows = list(Project.open(folder).assets(char_ids=["ai_hoshino"], asset_types=["anime_image"]))

    assert [(row.char_id, row.uri, row.state) for row in rows] == [("ai_hoshino", URI, AssetState.UPLOAD)]


def test_a_character_that_nobody_knows_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="nobody"):
        list(Project.open(folder).assets(char_ids=["nobody"]))
    with pytest.raises(UsageError, match="lists of texts"):
        Project.open(folder).assets(char_ids="ai_hoshino")


def test_a_bucket_that_may_not_be_listed_to_its_end_is_an_error(world: World) -> None:
    world.record("rem")
    world.object(KEY)
    world.objects.break_listing_after = 1

    with pytest.raises(StoreUnavailable):
        listed(world)


def test_a_folder_that_cannot_be_read_makes_the_catalogue_incomplete(world: World) -> None:
    world.record("rem")
    world.both(KEY)
    world.files.stops["dances/"] = FileProblem.UNREADABLE
    told: list[Event] = []
    catalogue = Catalogue(world, Scope(), told.append)

    assert len(list(catalogue)) == 1
    assert not catalogue.complete
    assert any(isinstance(event, Warned) and event.message.startswith("dances/") for event in told)


# -- the command --


def test_the_table_has_a_line_an_asset(run: Any) -> None:
    answer = run("list")
    lines = answer.out.splitlines()

    assert answer.code == 0
    assert lines[0].split()[:3] == ["character", "type", "entry"]
    assert sorted(line.split()[0] for line in lines[1:]) == ["ai_hoshino", "ai_hoshino", "rem"]
    assert all(line.split()[-1].startswith("gs://") or line.endswith(".mp4") for line in lines[1:])


def test_json_is_one_document_with_a_row_an_asset(run: Any) -> None:
    found = run("list", "--json").document("list")

    assert {(row["char_id"], row["asset_type"], row["state"]) for row in found["rows"]} == {
        ("ai_hoshino", "anime_image", "upload"),
        ("ai_hoshino", "kpop_version", "upload"),
        ("rem", "anime_image", "in_step"),
    }
    assert (found["complete"], found["error"]) == (True, None)


def test_a_list_of_nothing_is_a_document_too(run: Any) -> None:
    assert run("list", "--state", "orphan", "--json").document("list")["rows"] == []
    assert len(run("list", "--state", "orphan").out.splitlines()) == 1


def test_csv_has_the_names_of_the_fields_and_a_line_an_asset(run: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(run("list", "--csv", "--state", "in_step").out)))

    assert [(row["char_id"], row["size"], row["local"], row["url"]) for row in rows] == [("rem", "100", "true", "")]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ('=HYPERLINK("http://x","y")', '\'=HYPERLINK("http://x","y")'),
        ("@SUM(1)", "'@SUM(1)"),
        ("+1", "'+1"),
        ("-1+2", "'-1+2"),
        ("\t=1", "\\t=1"),
        ('a,b;"c"', 'a,b;"c"'),
        ("two\nlines", "two\\nlines"),
        ("[b]rem[/b]", "[b]rem[/b]"),
        ("'rem", "'rem"),
        ("初音ミク", "初音ミク"),
        ("\x1b[31m", "\\x1b[31m"),
    ],
)
def test_no_name_is_a_formula_or_a_cell_of_its_own_in_csv(name: str, cell: str) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
    show_csv(out, Asset, [msgspec.structs.replace(_asset(1), char_id=name, content_type=name)])
    out.seek(0)
    (row,) = csv.DictReader(out)
    assert (row["char_id"], row["content_type"], row["size"]) == (cell, cell, "1")
    assert row["uri"] == "gs://b/p/1.png"


def test_missing_lists_characters_and_types(run: Any) -> None:
    found = run("list", "--missing", "--asset-type", "kpop_version", "--json").document("list")

    assert (found["missing"], found.get("rows", [])) == ([{"char_id": "rem", "asset_type": "kpop_version"}], [])
    assert run("list", "--missing", "--asset-type", "K-Pop Version").out.splitlines()[1].split() == [
        "rem",
        "kpop_version",
    ]


@pytest.mark.parametrize(
    "arguments",
    [("--missing", "--urls", "1h"), ("--csv", "--json"), ("--state", "fine"), ("--urls", "soon"), ("--urls", "1h")],
)
def test_what_does_not_go_together_or_cannot_be_is_refused(run: Any, arguments: tuple[str, ...]) -> None:
    assert run("list", *arguments).code == 64


def test_no_name_obeys_the_terminal(project: Path, run: Any) -> None:
    records = open_records(project)
    records.put("e\x1b[31mvil", {"assets": [{"title": "t\x9b", "anime_image": URI}]})
    records.close()
    for form in ((), ("--csv",), ("--json",)):
        out = run("list", *form).out
        assert "vil" in out
        assert not any(char in out for char in "\x1b\x9b")


def test_an_error_in_the_middle_ends_the_document_and_is_the_exit_code(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from reconcile.cli.catalogue import write_json
    from reconcile.cli.options import Common
    from reconcile.cli.session import Session

    def rows() -> Iterator[Asset]:
        yield _asset(1)
        raise StoreUnavailable("the bucket went away", hint="run again")

    with Project.open(folder).opened() as opened:
        code = write_json(Session(Common()), Catalogue(opened, Scope()), rows(), "rows")
    out, err = capfd.readouterr()
    found = json.loads(out)

    jsonschema.validate(found, schemas.schema("list"), cls=jsonschema.Draft202012Validator)
    assert (code, len(found["rows"]), found["complete"]) == (1, 1, False)
    assert found["error"]["message"] == "the bucket went away"
    assert "the bucket went away" in err


# -- constant memory --


class _Sink(io.RawIOBase):
    """Where bytes go that nobody keeps; counted."""

    written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.written += len(data)
        return len(data)


def _asset(number: int) -> Asset:
    return Asset(
        f"character_{number}",
        "anime_image",
        "primary",
        "anime_image",
        f"gs://b/p/{number}.png",
        number,
        "image/png",
        "2026-01-01T00:00:00Z",
        local=True,
        bucket=True,
        state=AssetState.IN_STEP,
    )


@pytest.mark.parametrize(
    "write",
    [
        lambda stream, rows: show_json(stream, Scope(), "rows", rows, lambda: True),
        lambda stream, rows: show_csv(stream, Asset, rows),
        lambda stream, rows: show_assets(Terminal(stream), rows, urls=False),
    ],
    ids=["json", "csv", "table"],
)
def test_memory_does_not_grow_with_the_rows(write: Callable[[Any, Iterator[Asset]], None]) -> None:
    def peak(count: int) -> int:
        sink = _Sink()
        stream = io.TextIOWrapper(io.BufferedWriter(sink), encoding="utf-8")
        tracemalloc.start()
        try:
            write(stream, (_asset(number) for number in range(count)))
            stream.flush()
            assert sink.written > 60 * count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(6_000)  # what is kept from the first use on, as the widths of some thousand texts
    assert peak(24_000) < 2 * peak(6_000)
