"""The decision tables, complete and in one place. Each row of a table is one branch here and one test."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

from reconcile.core.changes import Code
from reconcile.core.context import Replacing
from reconcile.core.digest import Comparison, compare, compare_object
from reconcile.core.encoding import can_unpack
from reconcile.core.rows import Agreed, Claim, FileProblem, KeyRow, LocalFile, Outlook, RemoteObject
from reconcile.core.rules import Many


class Verb(Enum):
    """What to do with an object."""

    NOTHING = "nothing"
    CREATE = "create"
    REPLACE = "replace"


class ObjectDecision(msgspec.Struct, frozen=True):
    """What to do with one object, its state afterwards, and what a person should know (``code``, ``why``)."""

    outlook: Outlook
    verb: Verb = Verb.NOTHING
    in_step: bool = False
    crc32c: str | None = None
    code: Code | None = None
    why: str = ""


def decide_object(
    row: KeyRow, replacing: Replacing, *, taken: bool = True, bad_name: str | None = None
) -> ObjectDecision:
    """Decides on a local file and a bucket object.

    ``taken`` says whether a rule claims the file; ``bad_name`` why the bucket cannot hold an object of this name.
    """
    local, remote = row.local, row.remote
    if remote is None and not row.remote_known:
        return ObjectDecision(Outlook.UNKNOWN)
    if local is None or local.problem is FileProblem.SYMLINK:
        return _without_file(row)
    if local.problem is not None and not taken:
        # A file that no rule can claim is only noted, whatever else is wrong with it.
        outlook = Outlook.NEVER if remote is None else Outlook.BLOCKED
        return ObjectDecision(outlook, code=Code.UNCLAIMED_FILE, why=local.detail)
    if remote is not None and not remote.size and local.problem in _NEVER_UPLOADED:
        return ObjectDecision(Outlook.BLOCKED, code=Code.EMPTY_OBJECT)
    if local.problem is not None:
        return _with_problem(local, local.problem, remote)
    if remote is None:
        return _without_object(local, taken=taken, bad_name=bad_name)
    if remote.encoding:
        return _both_packed(row.agreed, local, remote, replacing, taken=taken)
    return _both(row.agreed, local, remote, replacing, taken=taken)


_NEVER_UPLOADED = (FileProblem.EMPTY, FileProblem.UNDECODABLE, FileProblem.TOO_LARGE)


def _with_problem(local: LocalFile, problem: FileProblem, remote: RemoteObject | None) -> ObjectDecision:
    """Decides on a file with a problem.

    A file that is never uploaded leaves an existing object valid; a file that cannot be judged now blocks both.
    """
    code = Code(problem.value)
    if problem not in _NEVER_UPLOADED:
        return ObjectDecision(Outlook.BLOCKED, code=code, why=local.detail)
    if remote is None:
        return ObjectDecision(Outlook.NEVER, code=code, why=local.detail)
    return ObjectDecision(Outlook.THERE, crc32c=remote.crc32c, code=code, why=local.detail)


def _without_file(row: KeyRow) -> ObjectDecision:
    link, remote = row.local, row.remote
    if not row.local_known:
        return ObjectDecision(Outlook.UNKNOWN)
    code, why = (None, "") if link is None else (Code.SYMLINK_SKIPPED, link.detail)
    if remote is None:
        return ObjectDecision(Outlook.ABSENT, code=code, why=why)
    if not remote.size:
        return ObjectDecision(Outlook.BLOCKED, code=Code.EMPTY_OBJECT)
    if remote.encoding:
        return _packed(remote)
    return ObjectDecision(Outlook.THERE, in_step=True, crc32c=remote.crc32c, code=code, why=why)


def _packed(remote: RemoteObject) -> ObjectDecision:
    """Decides on an encoded object whose content nothing contradicts: in step if we can decompress it, as readers
    do."""
    if not can_unpack(remote.encoding):
        return _unread(remote, "which cannot be unpacked here, so what a reader gets is not known")
    why = f'"{remote.encoding}", its size and checksum are those of the packed bytes, and readers get it unpacked'
    return ObjectDecision(Outlook.THERE, in_step=True, crc32c=remote.crc32c, code=Code.ENCODED_OBJECT, why=why)


def _unread(remote: RemoteObject, why: str) -> ObjectDecision:
    return ObjectDecision(Outlook.BLOCKED, code=Code.ENCODED_OBJECT, why=f'"{remote.encoding}", {why}')


def _without_object(local: LocalFile, *, taken: bool, bad_name: str | None) -> ObjectDecision:
    if not taken:
        return ObjectDecision(Outlook.NEVER, code=Code.UNCLAIMED_FILE)
    if bad_name is not None:
        return ObjectDecision(Outlook.NEVER, code=Code.UNDECODABLE_NAME, why=bad_name)
    if local.twin is not None:
        return ObjectDecision(Outlook.NEVER, code=Code.NAME_COLLISION, why=local.twin)
    return ObjectDecision(Outlook.THERE, Verb.CREATE, crc32c=local.crc32c)


def _both(
    agreed: Agreed | None, local: LocalFile, remote: RemoteObject, replacing: Replacing, *, taken: bool
) -> ObjectDecision:
    same = compare(local.size, local.crc32c, remote.size, remote.crc32c)
    if same is Comparison.SAME:
        code = Code.UNCLAIMED_FILE if not taken else Code.NAME_COLLISION if local.twin is not None else None
        why = (local.twin or "") if taken else ""
        return ObjectDecision(Outlook.THERE, in_step=True, crc32c=remote.crc32c, code=code, why=why)
    if not taken:
        return ObjectDecision(Outlook.BLOCKED, code=Code.UNCLAIMED_FILE)
    if same is Comparison.UNKNOWN:
        return ObjectDecision(Outlook.BLOCKED, code=Code.UNVERIFIABLE)
    if local.twin is not None:
        return ObjectDecision(Outlook.BLOCKED, code=Code.NAME_COLLISION, why=local.twin)
    return _replace(local, remote, agreed, replacing)


def _both_packed(
    agreed: Agreed | None, local: LocalFile, remote: RemoteObject, replacing: Replacing, *, taken: bool
) -> ObjectDecision:
    """Decides on a file and an encoded object: only content that was once decompressed shows whether they are equal."""
    if not taken:
        return ObjectDecision(Outlook.BLOCKED, code=Code.UNCLAIMED_FILE)
    if local.twin is not None:
        return ObjectDecision(Outlook.BLOCKED, code=Code.NAME_COLLISION, why=local.twin)
    if replacing is Replacing.LOCAL:
        return ObjectDecision(Outlook.THERE, Verb.REPLACE, crc32c=local.crc32c)
    same = compare_object(local.size, local.crc32c, remote, agreed)
    if same is Comparison.SAME:
        return _packed(remote)
    if same is Comparison.UNKNOWN:
        how = "`reconcile verify --deep` compares them" if can_unpack(remote.encoding) else "it cannot be unpacked here"
        return _unread(remote, f"so it can be called neither equal to the local file nor different; {how}")
    if replacing is Replacing.NEVER:
        return _unread(remote, "and the local file has changed since both agreed; replacing is off")
    return ObjectDecision(Outlook.THERE, Verb.REPLACE, crc32c=local.crc32c)


def _replace(local: LocalFile, remote: RemoteObject, agreed: Agreed | None, replacing: Replacing) -> ObjectDecision:
    if replacing is Replacing.LOCAL:
        return ObjectDecision(Outlook.THERE, Verb.REPLACE, crc32c=local.crc32c)
    empty = "" if remote.size else "the object is empty (0 bytes), and "
    if replacing is Replacing.NEVER:
        return _conflict(f"{empty}replacing is off")
    if agreed is None:
        return _conflict(f"{empty}this machine never saw the two agree, so it cannot tell which one is newer")
    bucket_kept = compare(agreed.size, agreed.crc32c, remote.size, remote.crc32c) is Comparison.SAME
    if bucket_kept:
        return ObjectDecision(Outlook.THERE, Verb.REPLACE, crc32c=local.crc32c)
    local_kept = compare(agreed.size, agreed.crc32c, local.size, local.crc32c) is Comparison.SAME
    return _conflict(
        f"{empty}only the bucket changed since both agreed" if local_kept else f"{empty}both sides changed"
    )


def _conflict(why: str) -> ObjectDecision:
    return ObjectDecision(Outlook.BLOCKED, code=Code.CONTENT_CONFLICT, why=why)


class Choice(msgspec.Struct, frozen=True):
    """The files for a field; none are ``chosen`` if it must wait or a person must decide."""

    chosen: tuple[Claim, ...] = ()
    ambiguous: bool = False


def choose(claims: Sequence[Claim], named_by_local_db: str | None, many: Many) -> Choice:
    """Chooses for a field without a good value, by the strongest evidence.

    That is, in this order: the file that the local database names; the only file; the rule's ``many``. A claim that
    cannot be judged yet (changing, in conflict, not read) must be waited for.
    """
    named = [claim for claim in claims if claim.key == named_by_local_db]
    contest = named or list(claims)
    if any(claim.outlook is not Outlook.THERE for claim in contest):
        return Choice()
    if len(contest) == 1:
        return Choice((contest[0],))
    match many:
        case Many.NEWEST:
            return Choice((newest(contest),))
        case Many.LIST:
            return Choice(tuple(sorted(contest, key=lambda claim: claim.key)))
        case Many.REPORT:
            return Choice(ambiguous=True)


def newest(claims: Sequence[Claim]) -> Claim:
    """Returns the newest claim by modification time, then name.

    Local files precede objects without one, because times of the two sides are never compared.
    """
    local = [claim for claim in claims if claim.local]
    return max(local or claims, key=lambda claim: (claim.modified, claim.key))
