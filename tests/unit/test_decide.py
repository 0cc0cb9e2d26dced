"""The decision tables, row by row."""

from __future__ import annotations

import pytest

from reconcile.core.changes import Code
from reconcile.core.context import Replacing
from reconcile.core.decide import Choice, ObjectDecision, Verb, choose, decide_object, newest
from reconcile.core.rows import Agreed, Claim, FileProblem, KeyRow, LocalFile, Outlook, RemoteObject
from reconcile.core.rules import Many

KEY = "characters/rem.png"
A, B, C = "AAAAAA==", "BBBBBB==", "CCCCCC=="


def file(
    crc32c: str | None = A, *, size: int = 3, problem: FileProblem | None = None, twin: str | None = None
) -> LocalFile:
    return LocalFile(KEY, size, 1, None if problem else crc32c, problem, "why" if problem else "", twin)


def there(crc32c: str | None = A, *, size: int = 3, generation: int = 7) -> RemoteObject:
    return RemoteObject(KEY, size, generation, crc32c)


def agreed(crc32c: str = A, *, size: int = 3, generation: int = 7) -> Agreed:
    return Agreed(KEY, size, crc32c, generation)


def row(
    local: LocalFile | None,
    remote: RemoteObject | None,
    agreed: Agreed | None = None,
    *,
    local_known: bool = True,
    remote_known: bool = True,
) -> KeyRow:
    return KeyRow(KEY, KEY, local, remote, agreed, local_known, remote_known)


def decide(
    row: KeyRow, replacing: Replacing = Replacing.SAFE, *, taken: bool = True, bad_name: str | None = None
) -> ObjectDecision:
    return decide_object(row, replacing, taken=taken, bad_name=bad_name)


# -- the table of local file against bucket object --


@pytest.mark.parametrize("replacing", Replacing)
def test_local_there_bucket_absent_is_uploaded(replacing: Replacing) -> None:
    assert decide(row(file(), None), replacing) == ObjectDecision(Outlook.THERE, Verb.CREATE, crc32c=A)


@pytest.mark.parametrize("replacing", Replacing)
def test_local_there_bucket_same_size_and_crc32c_is_in_step(replacing: Replacing) -> None:
    found = decide(row(file(), there()), replacing)
    assert found == ObjectDecision(Outlook.THERE, in_step=True, crc32c=A)


@pytest.mark.parametrize("replacing", Replacing)
def test_local_there_bucket_without_crc32c_is_unverifiable_neither_equal_nor_different(replacing: Replacing) -> None:
    found = decide(row(file(), there(None), agreed()), replacing)
    assert (found.outlook, found.verb, found.in_step, found.code) == (
        Outlook.BLOCKED,
        Verb.NOTHING,
        False,
        Code.UNVERIFIABLE,
    )


def test_local_absent_bucket_there_is_in_step_remote_only() -> None:
    assert decide(row(None, there(B))) == ObjectDecision(Outlook.THERE, in_step=True, crc32c=B)


def test_local_absent_bucket_there_without_crc32c_is_in_step_too() -> None:
    assert decide(row(None, there(None))) == ObjectDecision(Outlook.THERE, in_step=True)


def test_local_absent_bucket_absent_is_absent() -> None:
    assert decide(row(None, None)) == ObjectDecision(Outlook.ABSENT)


@pytest.mark.parametrize("local", [None, file()], ids=["local absent", "local there"])
def test_bucket_unknown_is_never_taken_for_absent(local: LocalFile | None) -> None:
    assert decide(row(local, None, remote_known=False), Replacing.LOCAL) == ObjectDecision(Outlook.UNKNOWN)


@pytest.mark.parametrize("remote", [None, there()], ids=["bucket absent", "bucket there"])
def test_local_unknown_is_never_taken_for_absent(remote: RemoteObject | None) -> None:
    assert decide(row(None, remote, local_known=False)) == ObjectDecision(Outlook.UNKNOWN)


def test_what_was_seen_is_known_whatever_was_not_read() -> None:
    found = decide(row(file(), there(), local_known=False, remote_known=False))
    assert found == ObjectDecision(Outlook.THERE, in_step=True, crc32c=A)


# -- an object that is more than its bytes --


def packed(encoding: str = "gzip", *, size: int = 2, generation: int = 7) -> RemoteObject:
    return RemoteObject(KEY, size, generation, B, encoding=encoding)


def test_an_encoded_object_alone_is_in_step_and_said() -> None:
    found = decide(row(None, packed()))
    assert (found.outlook, found.verb, found.in_step) == (Outlook.THERE, Verb.NOTHING, True)
    assert (found.code, found.crc32c) == (Code.ENCODED_OBJECT, B)


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip"])
@pytest.mark.parametrize("local", [None, file()], ids=["local absent", "local there"])
def test_an_encoding_that_cannot_be_unpacked_is_never_in_step(encoding: str, local: LocalFile | None) -> None:
    found = decide(row(local, packed(encoding), agreed()))
    assert (found.outlook, found.in_step, found.code) == (Outlook.BLOCKED, False, Code.ENCODED_OBJECT)
    assert encoding in found.why


@pytest.mark.parametrize("replacing", [Replacing.SAFE, Replacing.NEVER])
@pytest.mark.parametrize(
    "memory",
    [None, agreed(generation=6), agreed(B, size=2)],
    ids=["nothing remembered", "of an older generation", "of the stored bytes, before they were called encoded"],
)
@pytest.mark.parametrize("local", [file(), file(B, size=2)], ids=["plain twin", "twin of the stored bytes"])
def test_an_encoded_object_beside_a_file_is_neither_equal_nor_different(
    replacing: Replacing, memory: Agreed | None, local: LocalFile
) -> None:
    found = decide(row(local, packed(), memory), replacing)
    assert (found.outlook, found.verb, found.in_step, found.code) == (
        Outlook.BLOCKED,
        Verb.NOTHING,
        False,
        Code.ENCODED_OBJECT,
    )


def test_an_encoded_object_whose_content_is_remembered_is_compared_by_it() -> None:
    facts = row(file(), packed(), agreed())
    for replacing in (Replacing.SAFE, Replacing.NEVER):
        found = decide(facts, replacing)
        assert (found.outlook, found.in_step, found.code) == (Outlook.THERE, True, Code.ENCODED_OBJECT)
    changed = row(file(C), packed(), agreed())
    assert decide(changed) == ObjectDecision(Outlook.THERE, Verb.REPLACE, crc32c=C)
    assert decide(changed, Replacing.NEVER).code is Code.ENCODED_OBJECT


@pytest.mark.parametrize("memory", [None, agreed()], ids=["nothing remembered", "the same content"])
@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_told_so_the_local_file_takes_the_place_of_an_encoded_object(memory: Agreed | None, encoding: str) -> None:
    found = decide(row(file(), packed(encoding), memory), Replacing.LOCAL)
    assert found == ObjectDecision(Outlook.THERE, Verb.REPLACE, crc32c=A)


@pytest.mark.parametrize(
    "local",
    [None, *(file(problem=each) for each in (FileProblem.SYMLINK, FileProblem.EMPTY, FileProblem.UNDECODABLE))],
    ids=str,
)
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_an_object_without_a_byte_is_no_asset(local: LocalFile | None, encoding: str) -> None:
    empty = RemoteObject(KEY, 0, 7, "AAAAAA==", encoding=encoding)
    assert decide(row(local, empty)) == ObjectDecision(Outlook.BLOCKED, code=Code.EMPTY_OBJECT)


def test_an_object_without_a_byte_beside_a_good_file_is_a_conflict_that_says_so() -> None:
    empty = there("AAAAAA==", size=0)
    found = decide(row(file(B), empty))
    assert (found.outlook, found.code) == (Outlook.BLOCKED, Code.CONTENT_CONFLICT)
    assert "the object is empty" in found.why
    assert decide(row(file(B), empty), Replacing.LOCAL).verb is Verb.REPLACE


@pytest.mark.parametrize("problem", [FileProblem.UNSETTLED, FileProblem.UNREADABLE])
@pytest.mark.parametrize("remote", [None, there()], ids=["bucket absent", "bucket there"])
def test_a_file_that_cannot_be_judged_now_is_neither_uploaded_nor_in_step(
    problem: FileProblem, remote: RemoteObject | None
) -> None:
    found = decide(row(file(problem=problem), remote), Replacing.LOCAL)
    assert found == ObjectDecision(Outlook.BLOCKED, code=Code(problem.value), why="why")


@pytest.mark.parametrize("problem", [FileProblem.EMPTY, FileProblem.UNDECODABLE])
def test_a_file_that_is_never_uploaded_leaves_nothing_or_the_object(problem: FileProblem) -> None:
    alone = decide(row(file(problem=problem), None), Replacing.LOCAL)
    assert alone == ObjectDecision(Outlook.NEVER, code=Code(problem.value), why="why")
    beside = decide(row(file(problem=problem), there()), Replacing.LOCAL)
    assert beside == ObjectDecision(Outlook.THERE, crc32c=A, code=Code(problem.value), why="why")


def test_a_symlink_counts_as_no_file_and_is_said() -> None:
    link = file(problem=FileProblem.SYMLINK)
    alone = decide(row(link, None))
    assert (alone.outlook, alone.verb, alone.code) == (Outlook.ABSENT, Verb.NOTHING, Code.SYMLINK_SKIPPED)
    with_object = decide(row(link, there(B)))
    assert (with_object.outlook, with_object.in_step, with_object.crc32c) == (Outlook.THERE, True, B)


def test_every_problem_of_a_file_has_its_finding() -> None:
    assert {Code(problem.value) for problem in FileProblem} <= set(Code)


def test_a_file_that_no_rule_takes_is_not_uploaded() -> None:
    found = decide(row(file(), None), Replacing.LOCAL, taken=False)
    assert (found.outlook, found.verb, found.code) == (Outlook.NEVER, Verb.NOTHING, Code.UNCLAIMED_FILE)


def test_a_file_that_no_rule_takes_replaces_nothing() -> None:
    found = decide(row(file(), there(B)), Replacing.LOCAL, taken=False)
    assert (found.verb, found.code) == (Verb.NOTHING, Code.UNCLAIMED_FILE)


def test_a_file_that_no_rule_takes_may_be_in_the_bucket_all_the_same() -> None:
    found = decide(row(file(), there()), taken=False)
    assert (found.outlook, found.in_step, found.code) == (Outlook.THERE, True, Code.UNCLAIMED_FILE)


def test_a_name_that_the_bucket_refuses_is_not_uploaded() -> None:
    found = decide(row(file(), None), bad_name="too long")
    assert (found.outlook, found.code, found.why) == (Outlook.NEVER, Code.UNDECODABLE_NAME, "too long")


def test_of_two_names_that_windows_would_take_for_one_neither_is_uploaded() -> None:
    found = decide(row(file(twin="characters/REM.png"), None))
    assert (found.outlook, found.verb, found.code) == (Outlook.NEVER, Verb.NOTHING, Code.NAME_COLLISION)
    assert found.why == "characters/REM.png"


def test_of_two_names_that_windows_would_take_for_one_neither_replaces() -> None:
    found = decide(row(file(twin="characters/REM.png"), there(B), agreed(B)), Replacing.LOCAL)
    assert (found.verb, found.code) == (Verb.NOTHING, Code.NAME_COLLISION)


def test_of_two_such_names_one_that_is_in_the_bucket_already_is_in_step() -> None:
    found = decide(row(file(twin="characters/REM.png"), there()))
    assert (found.outlook, found.in_step, found.code) == (Outlook.THERE, True, Code.NAME_COLLISION)


# -- replacing --


@pytest.mark.parametrize(
    ("remembered", "why"),
    [
        pytest.param(None, "never saw the two agree", id="nothing is remembered"),
        pytest.param(agreed(A), "only the bucket changed", id="only the bucket changed"),
        pytest.param(agreed(C), "both sides changed", id="both changed"),
        pytest.param(agreed(A, size=9), "both sides changed", id="both changed, by size"),
    ],
)
def test_safe_other_bytes_is_a_conflict_unless_only_the_local_file_changed(remembered: Agreed | None, why: str) -> None:
    found = decide(row(file(A), there(B), remembered))
    assert (found.outlook, found.verb, found.code) == (Outlook.BLOCKED, Verb.NOTHING, Code.CONTENT_CONFLICT)
    assert why in found.why


def test_safe_replaces_where_only_the_local_file_changed() -> None:
    found = decide(row(file(A), there(B), agreed(B)))
    assert found == ObjectDecision(Outlook.THERE, Verb.REPLACE, crc32c=A)


def test_safe_replaces_an_object_that_was_written_again_with_the_same_bytes() -> None:
    assert decide(row(file(A), there(B, generation=9), agreed(B, generation=7))).verb is Verb.REPLACE


def test_safe_never_takes_an_object_without_crc32c_for_the_one_remembered() -> None:
    found = decide(row(file(A, size=4), there(None), agreed(B)))
    assert (found.verb, found.code) == (Verb.NOTHING, Code.CONTENT_CONFLICT)


@pytest.mark.parametrize("remembered", [None, agreed(A), agreed(B), agreed(C)])
def test_local_the_local_file_wins(remembered: Agreed | None) -> None:
    found = decide(row(file(A), there(B), remembered), Replacing.LOCAL)
    assert found == ObjectDecision(Outlook.THERE, Verb.REPLACE, crc32c=A)


@pytest.mark.parametrize("remembered", [None, agreed(A), agreed(B), agreed(C)])
def test_never_is_always_a_finding(remembered: Agreed | None) -> None:
    found = decide(row(file(A), there(B), remembered), Replacing.NEVER)
    assert (found.outlook, found.verb, found.code) == (Outlook.BLOCKED, Verb.NOTHING, Code.CONTENT_CONFLICT)


def test_the_same_crc32c_of_another_size_is_other_bytes() -> None:
    assert decide(row(file(A, size=3), there(A, size=4)), Replacing.LOCAL).verb is Verb.REPLACE


# -- several files for one field --


def claim(key: str, *, outlook: Outlook = Outlook.THERE, local: bool = True, modified: int | str = 1) -> Claim:
    return Claim("rem", "primary", "dance_video", key, "dance_video", Many.REPORT, outlook, A, local, modified)


OLD, NEW = claim("dances/b.mp4", modified=1), claim("dances/a.mp4", modified=2)


@pytest.mark.parametrize("many", Many)
def test_the_local_database_names_one_that_one(many: Many) -> None:
    assert choose([OLD, NEW], OLD.key, many) == Choice((OLD,))


@pytest.mark.parametrize("many", Many)
def test_one_file_only_that_one(many: Many) -> None:
    assert choose([OLD], None, many) == Choice((OLD,))


@pytest.mark.parametrize("many", Many)
def test_the_local_database_naming_something_else_chooses_nothing(many: Many) -> None:
    assert choose([OLD, NEW], "dances/else.mp4", many) == choose([OLD, NEW], None, many)


def test_many_newest_is_by_modification_time() -> None:
    assert choose([OLD, NEW], None, Many.NEWEST) == Choice((NEW,))
    assert choose([NEW, OLD], None, Many.NEWEST) == Choice((NEW,))


def test_many_newest_is_by_name_where_the_time_is_the_same() -> None:
    one, other = claim("dances/a.mp4"), claim("dances/b.mp4")
    assert newest([one, other]) == newest([other, one]) == other


def test_many_newest_never_compares_the_times_of_two_worlds() -> None:
    remote = claim("dances/z.mp4", local=False, modified="2099-01-01T00:00:00Z")
    assert newest([remote, OLD]) == OLD


def test_many_newest_of_objects_alone_is_by_their_time() -> None:
    early = claim("dances/z.mp4", local=False, modified="2026-01-01T00:00:00Z")
    late = claim("dances/a.mp4", local=False, modified="2026-01-02T00:00:00Z")
    assert newest([late, early]) == late


def test_many_list_takes_all_sorted() -> None:
    assert choose([OLD, NEW], None, Many.LIST) == Choice((NEW, OLD))


def test_many_report_is_a_finding() -> None:
    assert choose([OLD, NEW], None, Many.REPORT) == Choice(ambiguous=True)


@pytest.mark.parametrize("outlook", [Outlook.BLOCKED, Outlook.UNKNOWN, Outlook.ABSENT])
@pytest.mark.parametrize("many", Many)
def test_a_file_that_cannot_be_judged_yet_is_waited_for(outlook: Outlook, many: Many) -> None:
    waiting = claim("dances/c.mp4", outlook=outlook, modified=3)
    assert choose([waiting], None, many) == Choice()
    assert choose([OLD, waiting], None, many) == Choice()
    assert choose([OLD, waiting], waiting.key, many) == Choice()
    assert choose([OLD, waiting], OLD.key, many) == Choice((OLD,))
