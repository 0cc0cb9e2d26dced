"""The plan as a value: order, counts, fingerprint, limits."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.changes import Change, Code, Need, Severity, change_id, document_id, kind_of
from reconcile.core.errors import ExitCode, Refused
from reconcile.core.plan import FindingCounts, LimitCounts, Origin, ReplaceLimit, Scope, Stores, Summary, check_limits
from tests.kit.plans import EVERY_KIND, RULES, STORES, creation, finding, plan, replacement, rewrite, set_field, upload


def test_the_kinds_are_those_of_the_contract() -> None:
    assert [kind_of(change) for change in EVERY_KIND] == [
        "upload",
        "replace",
        "copy",
        "set_metadata",
        "create_record",
        "set_field",
        "rewrite_local_db",
    ]


# -- ids --


@given(st.text(max_size=8), st.text(max_size=8))
def test_an_id_is_the_same_for_the_same_change_in_every_run(one: str, other: str) -> None:
    assert change_id("upload", one, 3) == change_id("upload", one, 3)
    assert (change_id("upload", one) == change_id("upload", other)) is (one == other)
    assert change_id("upload", one) != change_id("replace", one)


def test_an_id_is_the_same_on_every_machine() -> None:
    text = b'["upload","gs://b/x.png","mnG7TA==",48211]'
    assert change_id("upload", "gs://b/x.png", "mnG7TA==", 48211) == hashlib.sha256(text).hexdigest()[:16]


@pytest.mark.parametrize(
    ("one", "other"), [(("ab", "c"), ("a", "bc")), ((1,), ("1",)), ((None,), ("null",)), (([1, 2],), ([1], 2))]
)
def test_the_parts_of_an_id_do_not_run_into_each_other(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert change_id("set_field", *one) != change_id("set_field", *other)


def test_an_id_does_not_hang_on_the_order_of_a_maps_fields() -> None:
    assert change_id("create_record", {"a": 1, "b": 2}) == change_id("create_record", {"b": 2, "a": 1})


class Point:
    """A value of a store's own client."""

    def __repr__(self) -> str:
        return "Point(1, 2)"


def test_opaque_values_of_a_store_have_a_place_in_ids_and_fingerprints() -> None:
    assert change_id("set_field", [Point(), "x"]) == change_id("set_field", [Point(), "x"])
    held = set_field(old=[Point(), "x"], new=[Point(), "y"])
    assert plan([held]).fingerprint == plan([held]).fingerprint


def test_the_id_of_a_document_is_its_last_part() -> None:
    assert document_id("characters/ai_hoshino") == "ai_hoshino"
    assert document_id("studios/one/characters/rem") == "rem"


# -- order --


def test_the_order_is_the_order_of_execution_uploads_before_records() -> None:
    shown = plan(reversed(EVERY_KIND)).actions
    assert [kind_of(action) for action in shown] == [
        "upload",
        "replace",
        "copy",
        "set_metadata",
        "create_record",
        "set_field",
        "rewrite_local_db",
    ]


def test_uploads_are_in_key_order_and_record_changes_by_document_place_and_field() -> None:
    expected = (
        upload("a.png"),
        upload("b.png"),
        set_field(id="9", document="characters/a", position=None, entry="neon", field="z"),
        set_field(id="8", document="characters/a", position=None, entry="slow", field="a"),
        set_field(id="7", document="characters/a", position=0, field="b"),
        set_field(id="6", document="characters/a", position=2, field="a"),
        set_field(id="5", document="characters/b", position=0, field="a"),
    )
    assert plan(reversed(expected)).actions == expected


MANY: tuple[Change, ...] = (
    *(upload(f"dances/{name}.mp4") for name in "cab"),
    *(
        set_field(id=f"{entry}{field}", entry=entry, field=field, position=at)
        for at, entry in enumerate("ab")
        for field in "xy"
    ),
    *(set_field(id=f"new {entry}", entry=entry, position=None, old=None) for entry in ("neon", "slow")),
    *EVERY_KIND,
)
TOLD = tuple(
    finding(char_id=char_id, hint=hint, severity=severity)
    for char_id in (None, "mei", "rem")
    for hint in ("a", "b")
    for severity in Severity
)


@given(st.randoms(use_true_random=False))
def test_the_same_world_gives_the_same_plan_in_whatever_order_it_was_read(shuffler: random.Random) -> None:
    actions, findings = list(MANY), list(TOLD)
    shuffler.shuffle(actions)
    shuffler.shuffle(findings)
    assert plan(actions, findings) == plan(MANY, TOLD)


def test_findings_are_in_order_of_weight_then_code_then_subject_each_once() -> None:
    warning = finding(code=Code.MISSING_RECORD, severity=Severity.WARNING)
    error = finding(code=Code.CONTENT_CONFLICT, severity=Severity.ERROR)
    lost = finding(code=Code.MISSING_ASSET, severity=Severity.ERROR, subject="z")
    orphans = [finding(subject="a"), finding(subject="b"), finding(subject="b")]
    found = plan([], [*orphans, warning, error, lost]).findings
    assert found == (lost, error, warning, orphans[0], orphans[1])


# -- summary --


def test_the_summary_counts_changes_findings_and_the_bytes_to_upload() -> None:
    told = [finding(subject=str(number)) for number in range(3)]
    told += [finding(severity=Severity.WARNING), finding(severity=Severity.ERROR)]
    summary = plan([*EVERY_KIND, upload("b.png", size=7)], told).summary
    assert summary == Summary(
        upload=2,
        replace=1,
        copy=1,
        set_metadata=1,
        set_field=1,
        create_record=1,
        rewrite_local_db=1,
        in_step=512,
        bytes=48211 + 7 + 5,
        findings=FindingCounts(error=1, warning=1, info=3),
    )


def test_an_empty_plan_counts_nothing() -> None:
    assert plan([], []).summary == Summary(in_step=512)


# -- fingerprint --


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(upload(if_generation_match=1), id="generation"),
        pytest.param(upload(size=1), id="size"),
        pytest.param(upload(crc32c="AAAAAA=="), id="crc32c"),
        pytest.param(upload(uri="gs://x/y"), id="uri"),
        pytest.param(upload("other.png"), id="key"),
    ],
)
def test_the_fingerprint_changes_with_any_precondition_of_an_upload(other: Change) -> None:
    assert plan([other]).fingerprint != plan([upload()]).fingerprint


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(set_field(update_time="2026-02-07T03:00:00.000002Z"), id="update time"),
        pytest.param(set_field(old=None), id="old value"),
        pytest.param(set_field(old=True), id="old value of another type"),
        pytest.param(set_field(new="gs://x/y"), id="new value"),
        pytest.param(set_field(entry="neon"), id="entry"),
        pytest.param(set_field(position=1), id="position"),
        pytest.param(set_field(needs=()), id="needs"),
        pytest.param(set_field(needs=(Need("characters/ai_hoshino.png", None),)), id="bytes needed"),
        pytest.param(rewrite(), id="kind"),
    ],
)
def test_the_fingerprint_changes_with_any_precondition_of_a_field(other: Change) -> None:
    assert plan([other]).fingerprint != plan([set_field()]).fingerprint


def test_the_fingerprint_changes_with_the_rules_and_the_stores() -> None:
    same = plan().fingerprint
    elsewhere = Stores("/other", STORES.bucket, STORES.records)
    assert plan(origin=Origin("reconcile 0.1.0", "other", STORES)).fingerprint != same
    assert plan(origin=Origin("reconcile 0.1.0", RULES, elsewhere)).fingerprint != same
    assert plan([replacement(if_generation_match=4)]).fingerprint != plan([replacement()]).fingerprint
    assert plan([creation(fields={})]).fingerprint != plan([creation()]).fingerprint


def test_the_fingerprint_does_not_change_with_when_and_by_whom_the_plan_was_made() -> None:
    origin = Origin("reconcile 9", RULES, STORES)
    other = plan(created="2027-01-01T00:00:00Z", origin=origin, findings=(), in_step=0, scope=Scope(("rem",)))
    assert other.fingerprint == plan().fingerprint


def test_a_plan_that_keeps_some_changes_is_the_one_that_would_have_been_made_of_them() -> None:
    whole = plan(complete=False)
    assert whole.keeping(whole.actions) == whole
    for change in EVERY_KIND:
        assert whole.keeping([change]) == plan([change], complete=False)
    assert whole.keeping([]).summary.in_step == whole.summary.in_step


# -- scope --


def test_an_empty_scope_takes_everything() -> None:
    assert Scope().takes_character("rem")
    assert Scope().takes_character(None)
    assert Scope().takes_type("icon")
    assert Scope().takes_type(None)


def test_a_scope_takes_what_it_names_and_nobodys_files_not() -> None:
    scope = Scope(("rem", "mei"), ("icon",))
    assert [scope.takes_character(each) for each in ("rem", "mei", "rem_2", None)] == [True, True, False, False]
    assert [scope.takes_type(each) for each in ("icon", "ai_music", None)] == [True, False, False]


# -- limits --


@pytest.mark.parametrize(
    ("text", "amount", "percent", "shown"),
    [
        ("10%", 10, True, "10%"),
        (" 10% ", 10, True, "10%"),
        ("0.5%", 0.5, True, "0.5%"),
        ("0%", 0, True, "0%"),
        ("100%", 100, True, "100%"),
        ("25", 25, False, "25"),
        ("0", 0, False, "0"),
    ],
)
def test_a_limit_is_a_percentage_or_a_count(text: str, amount: float, percent: bool, shown: str) -> None:
    assert ReplaceLimit.parse(text) == ReplaceLimit(amount, percent)
    assert str(ReplaceLimit.parse(text)) == shown


@pytest.mark.parametrize("text", ["", "%", "ten", "-1", "-1%", "101%", "nan%", "inf%", "2.5", "1e3", "10%%", "9" * 400])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        ReplaceLimit.parse(text)


@pytest.mark.parametrize(
    ("limit", "replaced", "objects", "allowed"),
    [
        ("10%", 9, 9, True),
        ("0%", 9, 9, True),
        ("10%", 1, 10, True),
        ("10%", 2, 10, False),
        ("10%", 1, 11, True),
        ("0%", 1, 10, False),
        ("0%", 0, 10, True),
        ("100%", 10, 10, True),
        ("3", 3, 1000, True),
        ("3", 4, 1000, False),
        ("0", 1, 10, False),
        ("0", 1, 9, True),
    ],
)
def test_limits_on_replacing_count_from_10_objects_in_scope_on(
    limit: str, replaced: int, objects: int, allowed: bool
) -> None:
    assert ReplaceLimit.parse(limit).allows(replaced, objects) is allowed


def replacing(count: int, **changed: Any) -> Any:
    return plan([replacement(f"dances/{number}.mp4") for number in range(count)], **changed)


TEN_PERCENT = ReplaceLimit(10, percent=True)


def test_a_plan_that_replaces_more_than_the_limit_is_refused_with_the_numbers() -> None:
    with pytest.raises(
        Refused, match=r"replaces 3 of 20 objects in scope, more than max_replace = 10% allows"
    ) as caught:
        check_limits(LimitCounts.of(replacing(3, objects_in_scope=20)), TEN_PERCENT, None)
    assert caught.value.exit_code is ExitCode.REFUSED
    assert "--force" in caught.value.hint
    check_limits(LimitCounts.of(replacing(2, objects_in_scope=20)), TEN_PERCENT, None)


def test_uploads_and_record_changes_are_not_replacing() -> None:
    check_limits(
        LimitCounts.of(plan([upload(f"{number}.png") for number in range(50)], objects_in_scope=20)), TEN_PERCENT, None
    )


@pytest.mark.parametrize("claimed", [{"objects_in_scope": 0}, {"summary": Summary()}], ids=["objects", "summary"])
def test_a_plan_that_counts_itself_small_is_counted_again(claimed: dict[str, Any]) -> None:
    found = msgspec.structs.replace(replacing(30, objects_in_scope=40), **claimed)
    with pytest.raises(Refused):
        check_limits(LimitCounts.of(found), TEN_PERCENT, None)


def test_a_plan_with_more_actions_than_allowed_is_refused_with_the_numbers() -> None:
    with pytest.raises(Refused, match="has 7 actions, more than --max-actions 6"):
        check_limits(LimitCounts.of(plan()), TEN_PERCENT, 6)
    check_limits(LimitCounts.of(plan()), TEN_PERCENT, 7)
    check_limits(LimitCounts.of(plan([])), TEN_PERCENT, 0)
