"""Plan ⇄ JSON, and what a plan that somebody else wrote may not do."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.changes import Change, Code, Need, Severity
from reconcile.core.errors import ExitCode, UsageError
from reconcile.core.plan import Plan, Scope, Stores
from reconcile.core.planfile import check_belongs, dumps, loads
from tests.kit.plans import (
    BUCKET,
    COLLECTION,
    EVERY_KIND,
    KEY,
    NEW,
    OLD,
    RULES,
    STORES,
    copying,
    creation,
    finding,
    plan,
    replacement,
    retyping,
    rewrite,
    set_field,
    upload,
)
from tests.kit.strategies import keys


def belongs(found: Plan, *, stores: Stores = STORES, rules: str = RULES, collection: str = COLLECTION) -> None:
    check_belongs(found, stores, rules, BUCKET, collection)


def refused(found: Plan, **project: Any) -> str:
    with pytest.raises(UsageError) as caught:
        belongs(found, **project)
    assert caught.value.exit_code is ExitCode.USAGE
    assert "reconcile plan --out" in caught.value.hint
    return caught.value.message


def edited(**fields: Any) -> bytes:
    return json.dumps({**json.loads(dumps(plan())), **fields}).encode()


# -- there and back --


def test_a_plan_comes_back_equal() -> None:
    scoped = plan(scope=Scope(("rem",), ("icon",)), complete=False)
    assert loads(dumps(plan()), "p.json") == plan()
    assert loads(dumps(scoped), "p.json") == scoped


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(keys(), _VALUES, st.dictionaries(st.text(max_size=8), _VALUES, max_size=4))
def test_a_plan_of_any_names_and_values_comes_back_equal(key: str, old: Any, fields: dict[str, Any]) -> None:
    made = plan([upload(key), set_field(key=key, old=old), creation(fields=fields)], [finding(subject=key)])
    assert loads(dumps(made), "p.json") == made


def test_a_plan_is_written_as_the_contract_says() -> None:
    data = dumps(plan())
    assert data.endswith(b"}\n")
    written = json.loads(data)
    assert written["format"] == "reconcile.plan/1"
    assert written["scope"] == {"char_ids": [], "asset_types": [], "paths": []}
    assert written["summary"]["findings"] == {"error": 0, "warning": 0, "info": 1, "waived": 0}
    assert written["findings"][0].keys() == {"code", "severity", "subject", "char_id", "message", "hint"}
    shown = {action["kind"]: action for action in written["actions"]}
    assert list(shown) == [
        "upload",
        "replace",
        "copy",
        "set_metadata",
        "create_record",
        "set_field",
        "rewrite_local_db",
    ]
    assert (
        shown["upload"].items()
        >= {
            "key": KEY,
            "char_id": "ai_hoshino",
            "asset_type": "anime_image",
            "reason": "missing_in_bucket",
            "uri": NEW,
            "size": 48211,
            "crc32c": "mnG7TA==",
            "if_generation_match": 0,
        }.items()
    )
    assert shown["set_field"]["needs"] == [{"key": KEY, "crc32c": "mnG7TA=="}]
    assert (shown["set_field"]["old"], shown["set_field"]["new"]) == (OLD, NEW)


def test_the_codes_are_those_of_the_contract() -> None:
    codes = (
        "unclaimed_file unknown_character ambiguous_character ambiguous_field missing_record missing_asset "
        "content_conflict unverifiable orphan_object outside_root foreign_uri unsettled_file incomplete_file "
        "root_emptied "
        "unreadable_file symlink_skipped empty_file undecodable_name too_large name_collision malformed_record"
    )
    later = (
        "local_path damaged_object unreadable_object wrong_content_type url_refused changed_since record_stays "
        "unreadable_scope database_differs database_kept local_path_elsewhere other_spelling "
        "encoded_object empty_object waiver_expired foreign_index objects_stay"
    )
    assert " ".join(code.value for code in Code) == f"{codes} {later}"
    assert {severity.value for severity in Severity} == {"error", "warning", "info"}


def test_fields_that_a_later_version_added_are_left_alone() -> None:
    assert loads(edited(later=[1, {"x": None}]), "p.json") == plan()


# -- what is not a plan --


def test_a_plan_torn_at_any_byte_is_refused() -> None:
    data = dumps(plan([upload(), set_field()]))
    for size in range(len(data) - 1):
        with pytest.raises(UsageError, match=r"^p\.json is not a whole plan file"):
            loads(data[:size], "p.json")
    assert loads(data[:-1], "p.json") == loads(data, "p.json")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"format": 1}',
        b"\xff\xfe{}",
        b"PK\x03\x04",
        dumps(plan()) + b"{}",
        b'{"format": ' + b"[" * 100_000,
        b'{"x": ' + b"[" * 100_000,
    ],
    ids=["empty", "null", "a list", "no format", "a number", "utf-16", "a zip", "two", "deep", "deep elsewhere"],
)
def test_what_is_no_plan_file_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"^p\.json is not a whole plan file") as caught:
        loads(data, "p.json")
    assert caught.value.hint


def test_a_plan_of_a_later_format_is_refused_as_such() -> None:
    with pytest.raises(
        UsageError, match=r"has the format 'reconcile.plan/2'; this version reads 'reconcile.plan/1'"
    ) as caught:
        loads(edited(format="reconcile.plan/2", actions="all new"), "p.json")
    assert "version that wrote it" in caught.value.hint


@pytest.mark.parametrize(
    "fields",
    [
        {"actions": [{"kind": "delete_object", "id": "1"}]},
        {"actions": [{"kind": "upload", "id": "1"}]},
        {"actions": {}},
        {"findings": [{"code": "no_such_code"}]},
        {"summary": None},
        {"complete": "yes"},
        {"stores": {"local": "x"}},
    ],
    ids=["unknown kind", "fields missing", "no list", "unknown code", "no summary", "wrong type", "a store missing"],
)
def test_a_plan_that_is_not_shaped_like_one_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"^p\.json is not a plan that can be applied"):
        loads(edited(**fields), "p.json")


# -- a plan of this project --


def test_a_plan_that_this_project_made_belongs_to_it() -> None:
    belongs(plan())
    belongs(loads(dumps(plan()), "p.json"))
    belongs(plan([]))


@pytest.mark.parametrize(
    ("stores", "words"),
    [
        (
            Stores("/else", STORES.bucket, STORES.records),
            "made for local '/srv/studio/output'; this project has '/else'",
        ),
        (Stores(STORES.local, "gs://else", STORES.records), "made for bucket 'gs://my-bucket/anime_dance'"),
        (Stores(STORES.local, STORES.bucket, "firestore://p/d/c"), "made for records 'firestore://my-project"),
        (
            Stores(STORES.local, f"{STORES.bucket} at http://127.0.0.1:4443", STORES.records),
            "this project has 'gs://my-bucket/anime_dance at http://127.0.0.1:4443'",
        ),
    ],
    ids=["root", "bucket", "records", "an emulator"],
)
def test_a_plan_of_other_stores_is_refused(stores: Stores, words: str) -> None:
    assert words in refused(plan(), stores=stores)


def test_a_plan_of_other_rules_is_refused() -> None:
    assert refused(plan(), rules="other") == "the rules have changed since the plan was saved"


@pytest.mark.parametrize(
    "change",
    [upload(size=1), upload(crc32c="AAAAAA=="), upload(id="other"), set_field(update_time="x"), set_field(old=None)],
    ids=["size", "crc32c", "id", "update time", "old value"],
)
def test_a_plan_edited_by_hand_does_not_fit_its_fingerprint(change: Change) -> None:
    for actions in ((change,), (*EVERY_KIND, change), ()):
        found = msgspec.structs.replace(plan(), actions=actions)
        assert "fingerprint does not fit" in refused(found)


OTHER = BUCKET.uri("other.png")
TRESPASSES = [
    pytest.param(upload("../secret.png"), "leads out of the root", id="key out of the root"),
    pytest.param(upload("a/../../secret.png"), "leads out of the root", id="key out of the root, deeper"),
    pytest.param(upload("/etc/passwd"), "leads out of the root", id="absolute key"),
    pytest.param(upload(""), "leads out of the root", id="empty key"),
    pytest.param(replacement("../secret.png"), "leads out of the root", id="replacing out of the root"),
    pytest.param(upload(uri="gs://else/x.png"), "writes 'gs://else/x.png', which is not its key", id="another bucket"),
    pytest.param(upload(uri="gs://my-bucket/x.png"), "is not its key below", id="outside the prefix"),
    pytest.param(replacement(uri=OTHER), "is not its key below", id="another object"),
    pytest.param(upload(if_generation_match=5), "replaces where it should create", id="an upload that replaces"),
    pytest.param(
        replacement(if_generation_match=0), "creates where it should replace", id="a replacement that creates"
    ),
    pytest.param(copying("../secret.png"), "leads out of the root", id="a copy out of the root"),
    pytest.param(copying(uri=OTHER), "is not its key below", id="a copy to another object"),
    pytest.param(copying(if_generation_match=5), "replaces where it should create", id="a copy that replaces"),
    pytest.param(copying(source="gs://else/x.png"), "is not another object below", id="a copy of another bucket"),
    pytest.param(copying(source="gs://my-bucket/x.png"), "is not another object below", id="a copy of another prefix"),
    pytest.param(copying(source=NEW), "is not another object below", id="a copy of itself"),
    pytest.param(copying(source_generation=0), "or any generation of it", id="a copy of any generation"),
    pytest.param(retyping("../secret.png"), "leads out of the root", id="a type out of the root"),
    pytest.param(retyping(uri=OTHER), "is not its key below", id="a type of another object"),
    pytest.param(retyping(if_generation_match=0), "creates where it should replace", id="a type of any generation"),
    pytest.param(retyping(if_metageneration_match=0), "whatever it is by now", id="a type over any metadata"),
    pytest.param(retyping(content_type="text/html"), "gives 'characters/ai", id="a type that the name does not say"),
    pytest.param(retyping(old="image/jpeg"), "in place of 'image/jpeg'", id="a type over one that says something"),
    pytest.param(set_field(document="users/admin"), "is not in the collection 'characters'", id="another collection"),
    pytest.param(set_field(document="characters/a/b/c"), "is not in the collection", id="a collection below"),
    pytest.param(set_field(document="characters/"), "is not in the collection", id="no document"),
    pytest.param(set_field(document="ai_hoshino"), "is not in the collection", id="no collection"),
    pytest.param(creation(document="users/admin"), "is not in the collection", id="creating elsewhere"),
    pytest.param(set_field(new=OTHER), "is not what it needs to be in the bucket", id="a value not needed"),
    pytest.param(set_field(new="https://evil.example/x"), "is not what it needs", id="a value elsewhere"),
    pytest.param(set_field(new=OLD), "is not what it needs", id="a local path"),
    pytest.param(set_field(needs=()), "is not what it needs", id="nothing needed"),
    pytest.param(set_field(new=None), "sets None", id="nothing"),
    pytest.param(set_field(new=""), "sets ''", id="an empty text"),
    pytest.param(set_field(new={"a": NEW}), "sets {", id="a map"),
    pytest.param(set_field(new=[], old=[OLD]), "sets []", id="an empty list"),
    pytest.param(set_field(new=[NEW, OTHER], old=[OLD]), "is not what it needs", id="a value not needed in a list"),
    pytest.param(set_field(new=[NEW, 5], old=[OLD]), "sets 5", id="a number in a list"),
    pytest.param(set_field(new=[NEW], old=[OLD, 5]), "drops 5", id="a number out of a list"),
    pytest.param(set_field(new=[NEW, OLD], old=OLD), "is not what it needs", id="a list in place of a text"),
    pytest.param(rewrite(new=OTHER), "is not what it needs", id="in the pipeline's own database"),
]


@pytest.mark.parametrize(("change", "words"), TRESPASSES)
def test_a_plan_can_reach_nothing_outside_the_project_whoever_wrote_it(change: Change, words: str) -> None:
    message = refused(plan([change]))
    assert words in message
    assert change.id in message


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(set_field(new=[NEW], old=[OLD]), id="a list whose path became a URI"),
        pytest.param(set_field(new=[NEW, "note", 5], old=[OLD, "note", 5]), id="a list that keeps the rest"),
        pytest.param(set_field(new=[NEW], old=None), id="a list where nothing was"),
        pytest.param(set_field(entry=None), id="a map without a key"),
        pytest.param(upload("remixes/a b/[kpop]_x#1?.mp4"), id="a key of odd characters"),
        pytest.param(upload("characters/..a...png"), id="a key with dots"),
        pytest.param(upload("characters/a\\b.png"), id="a key with a backslash, which POSIX allows"),
        pytest.param(
            set_field(needs=(Need("a//b.png", None),), new=BUCKET.uri("a//b.png")), id="an object of an odd name"
        ),
        pytest.param(set_field(document="characters/a b.c"), id="an id of odd characters"),
    ],
)
def test_what_a_plan_may_do_it_may(change: Change) -> None:
    belongs(plan([change]))


def test_a_collection_below_a_document_is_a_collection() -> None:
    belongs(plan([set_field(document="studios/one/characters/rem")]), collection="studios/one/characters")


def test_values_that_json_has_no_word_for_are_written_as_text() -> None:
    held = plan([set_field(old=[complex(1, 2), OLD], new=[complex(1, 2), NEW])])
    assert loads(dumps(held), "p.json").fingerprint == held.fingerprint
    belongs(loads(dumps(held), "p.json"))


# -- what a shell or an editor makes of a file --


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_plan_that_powershell_has_saved_is_read(encoding: str, newline: str) -> None:
    text = dumps(plan()).decode().replace("\n", newline)
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    assert loads((mark + text).encode(encoding), "p.json") == plan()


def test_a_plan_whose_letters_powershell_has_changed_is_refused_with_what_to_do() -> None:
    spoiled = dumps(plan(scope=Scope(("レム",)))).decode("cp437")
    with pytest.raises(UsageError, match="PowerShell's `>`") as failure:
        loads(spoiled.encode("utf-16"), "p.json")
    assert "--out" in failure.value.hint
