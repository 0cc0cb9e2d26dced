"""Local files that change, vanish or cannot be read between the plan and the upload, and names that clash."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reconcile.adapters.local.settle import FirstLooks
from reconcile.core.report import OutcomeKind, Status
from reconcile.pipeline.planner import survey
from tests.kit.rig import COSPLAY, KEY, LARGE, OLD, OTHER, SIZES, VIDEO, Rig, as_furnished, by_kind, furnish, results
from tests.kit.world import titled, windows

APPLIED, STALE, FAILED, BLOCKED = (
    OutcomeKind.APPLIED,
    OutcomeKind.STALE,
    OutcomeKind.FAILED,
    OutcomeKind.BLOCKED,
)
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")


def quietly(file: Path, data: bytes) -> None:
    """Other bytes in place, with the time of the last change as it was."""
    with file.open("r+b") as open_file:
        open_file.write(data)
        open_file.truncate()
    os.utime(file, (OLD, OLD))


# -- between the plan and the upload ------------------------------------------------------------------------------


@SIZES
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: b"!" + data[1:], id="first byte"),
        pytest.param(lambda data: data[:-1] + b"!", id="last byte"),
        pytest.param(lambda data: data + b"!", id="longer"),
        pytest.param(lambda data: data[:-1], id="shorter"),
        pytest.param(lambda _data: b"", id="empty"),
    ],
)
def test_a_file_that_changed_since_it_was_hashed_is_stale_and_the_next_run_takes_it(
    rig: Rig, key: str, data: bytes, change: Callable[[bytes], bytes]
) -> None:
    furnish(rig, key, data)
    plan = rig.plan()
    quietly(rig.root / key, change(data))
    report = rig.apply(plan)
    assert (by_kind(report), report.status) == ([STALE, BLOCKED], Status.STALE)
    assert rig.held() == {}
    assert rig.entries("rem") == as_furnished(key)
    rig.converges()
    assert rig.held() == ({key: change(data)} if change(data) else {})


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: data[:-1] + b"!", id="same size"),
        pytest.param(lambda data: data + b"!", id="longer"),
        pytest.param(lambda data: data[:-1], id="shorter"),
    ],
)
def test_a_file_that_changes_while_it_is_uploaded_never_lands_as_a_mix(
    rig: Rig, change: Callable[[bytes], bytes]
) -> None:
    furnish(rig, VIDEO, LARGE)
    rig.wire(method="PUT", run=lambda: quietly(rig.root / VIDEO, change(LARGE)))
    report = rig.apply()
    assert (by_kind(report), report.status) == ([STALE, BLOCKED], Status.STALE)
    assert rig.held() == {}
    rig.converges()
    assert rig.held() == {VIDEO: change(LARGE)}


@posix_only
def test_a_file_that_is_replaced_by_another_while_it_is_uploaded_lands_as_it_was_planned(rig: Rig) -> None:
    furnish(rig, VIDEO, LARGE)
    newer = rig.file("newer.part", b"rendered again")
    rig.wire(method="PUT", run=lambda: newer.replace(rig.root / VIDEO))
    assert by_kind(rig.apply()) == [APPLIED, APPLIED]
    assert rig.held() == {VIDEO: LARGE}
    assert [each.kind for each in rig.converges().outcomes] == ["replace"]
    assert rig.held() == {VIDEO: b"rendered again"}


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _link(file: Path) -> None:
    file.unlink()
    file.symlink_to(__file__)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(Path.unlink, id="gone"),
        pytest.param(_folder, id="folder"),
        pytest.param(_pipe, id="pipe", marks=posix_only),
        pytest.param(_link, id="link", marks=posix_only),
    ],
)
def test_a_file_that_is_something_else_now_fails_alone(rig: Rig, change: Callable[[Path], None]) -> None:
    file = rig.file(KEY)
    rig.file(OTHER)
    rig.record("rem", titled(anime_image=windows(KEY)))
    rig.record("mei")
    plan = rig.plan()
    change(file)
    report = rig.apply(plan)
    assert sorted(results(report)[:2], key=str) == [("upload", OTHER, APPLIED), ("upload", KEY, STALE)]
    assert rig.held() == {OTHER: OTHER.encode()}
    assert rig.entries("mei") == [titled(anime_image=rig.uri(OTHER))]
    assert rig.entries("rem") == [titled(anime_image=windows(KEY))]
    if file.is_dir():
        file.rmdir()
    file.unlink(missing_ok=True)
    rig.file(KEY)
    rig.converges()
    assert rig.held() == {key: key.encode() for key in (KEY, OTHER)}


@posix_only
def test_a_file_that_cannot_be_read_any_more_fails_alone(ordinary_rig: Rig) -> None:
    rig, file = ordinary_rig, ordinary_rig.file(KEY)
    rig.file(OTHER)
    rig.record("rem", titled(anime_image=windows(KEY)))
    rig.record("mei")
    plan = rig.plan()
    file.chmod(0)
    report = rig.apply(plan)
    assert sorted(results(report), key=str) == [
        ("set_field", OTHER, APPLIED),
        ("set_field", KEY, BLOCKED),
        ("upload", OTHER, APPLIED),
        ("upload", KEY, FAILED),
    ]
    unseen = rig.plan()
    assert (unseen.complete, [finding.code.value for finding in unseen.findings]) == (False, ["unreadable_file"])
    file.chmod(0o600)
    rig.converges()


def test_a_file_that_is_still_being_written_is_left_for_the_next_run(rig: Rig) -> None:
    file = rig.file(KEY, b"half")
    rig.file("dances/dance_rem.mp4.part", b"half")
    rig.record("rem", titled(anime_image=windows(KEY)))
    now = [0.0]

    def write_on(seconds: float) -> None:
        now[0] += seconds
        file.write_bytes(b"more of it")

    with rig.open(FirstLooks(2.0, clock=lambda: now[0], sleep=write_on)) as project:
        plan = survey(project).plan
    assert plan.actions == ()
    assert "unsettled_file" in [finding.code.value for finding in plan.findings]
    rig.file(KEY, b"whole")
    rig.converges()
    assert rig.held() == {KEY: b"whole"}
    assert file.read_bytes() == b"whole"


# -- names --------------------------------------------------------------------------------------------------------


def test_two_files_with_the_same_bytes_are_two_assets(rig: Rig) -> None:
    rig.file(KEY, b"same")
    rig.file(COSPLAY, b"same")
    rig.record("rem")
    rig.converges()
    assert rig.held() == {KEY: b"same", COSPLAY: b"same"}
    assert rig.entries("rem") == [titled(anime_image=rig.uri(KEY), cosplay_image=rig.uri(COSPLAY))]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("dances/dance_rem_Neon.mp4", "dances/dance_rem_neon.mp4"),
        ("dances/dance_rem_\u00e9.mp4", "dances/dance_rem_e\u0301.mp4"),
    ],
    ids=["case", "unicode form"],
)
def test_two_names_that_some_system_takes_for_one_are_refused_before_any_write(rig: Rig, one: str, two: str) -> None:
    rig.file(one)
    rig.file(two)
    if len(list((rig.root / "dances").iterdir())) < 2:
        pytest.skip("this file system takes them for one")
    rig.file(KEY)
    plan = rig.plan()
    assert [finding.code.value for finding in plan.findings].count("name_collision") == 2
    rig.converges()
    assert rig.held() == {KEY: KEY.encode()}


@posix_only
def test_names_stay_byte_for_byte_and_those_that_no_bucket_holds_are_said(rig: Rig) -> None:
    good = [
        f"dances/dance_rem_{name}.mp4"
        for name in ("e\u0301", "\u30ec\u30e0", "\U0001f600", "\u202ertl", "[x] :star:", "a b  c")
    ]
    bad = ["dances/dance_rem_a\nb.mp4", "dances/dance_rem_a\rb.mp4", os.fsdecode(b"dances/dance_rem_\xff.mp4")]
    for name in [*good, *bad]:
        rig.file(name)
    rig.record("rem", titled(dance_video=windows(good[0])))
    found = rig.plan().findings
    assert sorted(finding.code.value for finding in found) == ["undecodable_name"] * len(bad)
    rig.converges()
    assert rig.held() == {name: name.encode() for name in good}
    assert rig.entries("rem") == [titled(dance_video=rig.uri(good[0]))]


ESCAPED = ["100%.mp4", "a%20b.mp4", "a#b.mp4", "a?b=c&d.mp4", "a+b;c=d.mp4", "%2e%2e.mp4"]


@posix_only
def test_a_bucket_uri_is_no_url_so_nothing_in_a_name_is_escaped_or_cut(rig: Rig) -> None:
    keys = [f"dances/dance_rem_{name}" for name in ESCAPED]
    for key in keys:
        rig.file(key)
    rig.record("rem", *(titled(key, dance_video=windows(key)) for key in keys))
    rig.converges()
    assert rig.held() == {key: key.encode() for key in keys}
    assert rig.entries("rem") == [titled(key, dance_video=f"{rig.uri('')}{key}") for key in keys]
