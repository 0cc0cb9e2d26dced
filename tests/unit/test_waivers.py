"""Waivers: what is known and accepted is shown and counted apart, and changes nothing that is done."""

from __future__ import annotations

import datetime
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.changes import Code, Finding, Severity
from reconcile.core.findings import make
from reconcile.core.waivers import Waiver, used, waive

TODAY = datetime.date(2026, 6, 1)
ORPHAN = "gs://my-bucket/anime_dance/dances/dance_old_1.mp4"
NOTES = "notes/:star: [b]todo.txt"


def finding(subject: str, code: Code = Code.ORPHAN_OBJECT) -> Finding:
    return make(code, subject, None)


def waiver(subject: str, code: Code = Code.ORPHAN_OBJECT, until: datetime.date | None = None) -> Waiver:
    return Waiver(code, subject, "kept on purpose", until)


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        (ORPHAN, True),
        ("gs://my-bucket/anime_dance/dances/dance_old_*", True),
        ("*", True),
        ("gs://*/dance_old_?.mp4", False),
        ("gs://my-bucket/anime_dance/dances/dance_old_[0-9].mp4", False),
        ("gs://my-bucket/anime_dance/dances/dance_ol.*", False),
        ("gs://my-bucket/anime_dance/dances", False),
        ("*/dances/*", True),
        (ORPHAN.upper(), False),
        ("gs:*//*my-bucket/*_old_*4", True),
        ("*old*dances*", False),
        (f"{ORPHAN}*", True),
        (f"{ORPHAN[:9]}*{ORPHAN[8:]}", False),
        ("**mp4", True),
        ("", False),
    ],
)
def test_a_subject_is_literal_except_for_stars(pattern: str, taken: bool) -> None:
    (found,) = waive([finding(ORPHAN)], [waiver(pattern)], TODAY)
    assert found.is_waived is taken
    assert found == finding(ORPHAN) or found.waived == "kept on purpose"


@given(st.text("ab*", max_size=8), st.text("ab\n", max_size=8))
def test_a_star_is_any_text(pattern: str, subject: str) -> None:
    meant = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL).fullmatch(subject) is not None
    assert waiver(pattern).takes(finding(subject)) is meant


def test_many_stars_and_a_long_name_take_no_time() -> None:
    began = time.process_time()
    assert not waiver("*a" * 20 + "b").takes(finding("a" * 1000))
    assert waiver("*a" * 20).takes(finding("a" * 1000))
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "name", ["[kpop]_x.mp4", "a\\b.png", "x\n.png", "{char_id}", "(a|b)+$", "\u202e.png", "^", "."]
)
def test_a_hostile_name_is_waived_by_itself_alone(name: str) -> None:
    exact = waiver(name)
    assert exact.takes(finding(name))
    assert not exact.takes(finding(f"{name}x"))
    assert not exact.takes(finding("k"))


def test_another_code_is_not_taken() -> None:
    (found,) = waive([finding(ORPHAN, Code.EMPTY_OBJECT)], [waiver("*")], TODAY)
    assert not found.is_waived


def test_a_decomposed_name_is_the_composed_one() -> None:
    (found,) = waive([finding("characters/e\u0301.png")], [waiver("characters/é*")], TODAY)
    assert found.is_waived


def test_a_waiver_holds_through_its_last_day_and_is_a_warning_from_the_next() -> None:
    (kept,) = waive([finding(ORPHAN)], [waiver(ORPHAN, until=TODAY)], TODAY)
    assert kept.is_waived
    found, expired = waive([finding(ORPHAN)], [waiver(ORPHAN, until=TODAY)], TODAY + datetime.timedelta(days=1))
    assert not found.is_waived
    assert (expired.code, expired.severity) == (Code.WAIVER_EXPIRED, Severity.WARNING)
    assert (expired.subject, expired.is_waived) == (ORPHAN, False)
    assert "`orphan_object` expired after 2026-06-01" in expired.message


def test_what_each_waiver_takes_is_counted() -> None:
    waivers = [waiver("*"), waiver(ORPHAN), waiver("x")]
    assert [*used([finding(ORPHAN), finding("y")], waivers).values()] == [2, 1, 0]


# -- the commands --


def waived(project: Path, code: str, subject: str, more: str = "") -> None:
    rules = project / "rules" / "asset_map.toml"
    table = f'\n[[waiver]]\ncode = "{code}"\nsubject = "{subject}"\nreason = "only ideas"\n{more}\n'
    rules.write_text(rules.read_text(encoding="utf-8") + table, encoding="utf-8")


@pytest.fixture
def lost(project: Path) -> Path:
    """A record names a file that is nowhere, which is an error."""
    from tests.kit.small_project import open_records

    records = open_records(project)
    records.put("miku", {"assets": [{"title": "primary", "anime_image": "C:\\oo\\bar\\output\\characters\\miku.png"}]})
    records.close()
    return project


def test_a_waived_error_is_counted_apart_and_fails_nothing(run: Any, lost: Path) -> None:
    assert run("plan", "--fail-on", "error", "--quiet").code == 6
    before = run("plan", "--json").document("plan")
    waived(lost, "missing_asset", "characters/mi*")
    after = run("plan", "--json").document("plan")
    assert after["actions"] == before["actions"]
    assert (before["summary"]["findings"]["error"], before["summary"]["findings"]["waived"]) == (1, 0)
    assert (after["summary"]["findings"]["error"], after["summary"]["findings"]["waived"]) == (0, 1)
    (told,) = [each for each in after["findings"] if "waived" in each]
    assert (told["code"], told["severity"], told["waived"]) == ("missing_asset", "error", "only ideas")
    assert not [each for each in before["findings"] if "waived" in each]
    assert run("plan", "--fail-on", "error", "--quiet").code == 0
    assert run("status", "--fail-on", "error", "--quiet").code == 0
    assert run("apply", "--yes", "--fail-on", "error", "--quiet").code == 0


def test_it_is_shown_last_with_its_reason(run: Any, lost: Path, tmp_path: Path) -> None:
    waived(lost, "missing_asset", "characters/miku")
    text = run("plan").out
    assert "1 finding that the rules file accepts" in text
    assert "characters/miku: missing_asset  only ideas" in text
    assert "error  missing_asset" not in text
    assert "1 waived" in text
    assert run("status", "--json").document("status")["waived"] == 1
    assert "1 waived" in run("status").out
    for name, said in (("page.html", "only ideas"), ("page.md", "only ideas")):
        page = tmp_path / name
        assert run("report", "--out", str(page)).code == 0
        assert said in page.read_text(encoding="utf-8")


def test_an_expired_waiver_is_a_warning(run: Any, lost: Path) -> None:
    waived(lost, "missing_asset", "characters/miku", "until = 2020-01-31")
    plan = run("plan", "--json").document("plan")
    assert (plan["summary"]["findings"]["error"], plan["summary"]["findings"]["waived"]) == (1, 0)
    assert "waiver_expired" in {each["code"] for each in plan["findings"]}
    assert run("plan", "--fail-on", "warning", "--quiet").code == 6


def test_rules_check_says_which_waiver_matches_nothing(run: Any, lost: Path) -> None:
    waived(lost, "missing_asset", "characters/miku")
    waived(lost, "orphan_object", "gs://nothing/*")
    assert [each["matched"] for each in run("rules", "check", "--json").document("rules")["waivers"]] == [None, None]
    assert "no plan of everything has tried it yet" in run("rules", "check").out
    run("plan", "--quiet", "--char-id", "rem")
    assert [each["matched"] for each in run("rules", "check", "--json").document("rules")["waivers"]] == [None, None]
    run("plan", "--quiet")
    assert [each["matched"] for each in run("rules", "check", "--json").document("rules")["waivers"]] == [1, 0]
    text = run("rules", "check").out
    assert "matches 1 finding of the last plan" in text
    assert "matches nothing" in text


@pytest.mark.parametrize(
    ("code", "subject", "more", "said"),
    [
        ("orphan_objekt", "*", "", "did you mean 'orphan_object'?"),
        ("waiver_expired", "*", "", "cannot be waived"),
        ("orphan_object", " ", "", "the subject of a waiver is empty"),
        ("orphan_object", "*", 'until = "soon"', "is not a day"),
        ("orphan_object", "*", "untill = 2027-01-01", "did you mean 'until'?"),
    ],
)
def test_a_waiver_that_cannot_be_is_refused_with_its_line(
    run: Any, project: Path, code: str, subject: str, more: str, said: str
) -> None:
    waived(project, code, subject, more)
    answer = run("plan", "--json")
    assert answer.code == 78
    error = answer.document("error")
    assert said in f"{error['message']} {error['hint']}"
    assert "asset_map.toml:" in error["message"]


def test_a_waiver_needs_a_reason(run: Any, project: Path) -> None:
    rules = project / "rules" / "asset_map.toml"
    rules.write_text(rules.read_text(encoding="utf-8") + '\n[[waiver]]\ncode = "orphan_object"\nsubject = "*"\n')
    assert "has no reason" in run("plan", "--json").document("error")["message"]
