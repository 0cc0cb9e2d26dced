"""Stage 2: the file, the object and the references of one folded key → object changes, answers, claims, findings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec

from reconcile.core.catalogue import Listed
from reconcile.core.context import Context
from reconcile.core.decide import ObjectDecision
from reconcile.core.names import fold, may_be_respelt, nfc
from reconcile.core.rows import Answer, Candidate, Group, KeyFacts, KeyRow, KeyTally, Outlook, Row, Stream, World
from reconcile.core.stages.judged import JudgedKey, KeyOutput, read_path
from reconcile.core.stages.listing import listed
from reconcile.core.stages.outputs import as_rows


def key_stage(group: Group, context: Context) -> Iterator[Row]:
    return as_rows(by_key(key_rows(group), group.get(Stream.REFERENCE, ()), context))


def is_whole(group: Group) -> bool:
    """Whether a group of one row can be judged before the other rows with the same folded key are known.

    It can if something exists there, every reference means exactly this key, and no other spelling can be its other
    side.
    """
    rows = group.get(Stream.KEY, ())
    if len(rows) != 1 or not rows[0].exists or _is_lone(rows[0]):
        return False
    # A loop, because this runs for every key: a generator costs as much as the comparison.
    key = rows[0].key
    for reference in group.get(Stream.REFERENCE, ()):  # noqa: SIM110
        if reference.key != key:
            return False
    return True


def key_rows(group: Group) -> Sequence[KeyRow]:
    """Returns one row for each exact key, joining a file and an object whose names differ only in Unicode form."""
    rows: Sequence[KeyRow] = group.get(Stream.KEY, ())
    if len(rows) <= 1:
        return rows
    by_exact: dict[str, KeyRow] = {}
    for row in sorted(rows, key=lambda row: row.key):
        held = by_exact.get(row.key)
        by_exact[row.key] = row if held is None else held.joined(row)
    return list(_paired(by_exact.values()))


def by_key(rows: Sequence[KeyRow], candidates: Sequence[Candidate], context: Context) -> Iterator[KeyOutput]:
    """Decides every exact key of one folded key, and answers the references that could mean one of them."""
    decided = {row.key: JudgedKey(row, context) for row in rows if row.exists}
    meant = [(candidate, _match(candidate, decided)) for candidate in candidates]
    for key, judged in decided.items():
        yield from judged.outputs([candidate for candidate, means in meant if means == key])
    nowhere = {row.key: row for row in rows if not row.exists}
    for candidate, means in meant:
        if means is not None:
            yield from _answer(candidate, decided[means])
        else:
            yield from _unanswered(candidate, nowhere.get(candidate.key), context)
    for absent in sorted({candidate.key for candidate in candidates} - decided.keys()):
        row = nowhere.get(absent) or KeyRow(absent, context.asset_map.path_for(absent, context.known_ids))
        asking = [(candidate, means) for candidate, means in meant if candidate.key == absent]
        if absent in context.trace:
            outlook = Outlook.ABSENT if row.is_absent else Outlook.UNKNOWN
            yield KeyFacts(absent, row.path, candidates=tuple(each for each, _ in asking), outlook=outlook)
        if row.is_absent:
            yield from _absent_tally(row, [candidate for candidate, means in asking if means is None], context)


def _match(candidate: Candidate, existing: Collection[str]) -> str | None:
    """Returns the existing key that a candidate means, or None.

    That is the key itself; else the only one in another Unicode form; else, for Windows paths, the only one in another
    case.
    """
    if candidate.key in existing:
        return candidate.key
    composed = [key for key in existing if nfc(key) == nfc(candidate.key)]
    if composed or not candidate.windows:
        return composed[0] if len(composed) == 1 else None
    folded = [key for key in existing if fold(key) == fold(candidate.key)]
    return folded[0] if len(folded) == 1 else None


def _answer(candidate: Candidate, judged: JudgedKey) -> Iterator[Answer]:
    outlook = judged.decision.outlook
    if candidate.sure or (judged.reading is not None and outlook is not Outlook.ABSENT):
        yield answer_to(candidate, outlook, judged.row.key, judged.decision.crc32c, judged.asset_type)


def _unanswered(candidate: Candidate, row: KeyRow | None, context: Context) -> Iterator[Answer]:
    """Yields the answer to a reference that means no existing key: absent if that is known, else unknown.

    An unsure reference gets no answer, because it may mean nothing.
    """
    unknown = row is None or not row.is_absent
    asset_map, known = context.asset_map, context.known_ids
    if candidate.sure or (unknown and asset_map.read_key(candidate.key, known) is not None):
        yield answer_to(candidate, Outlook.UNKNOWN if unknown else Outlook.ABSENT, candidate.key)


def answer_to(
    candidate: Candidate, outlook: Outlook, key: str, crc32c: str | None = None, asset_type: str | None = None
) -> Answer:
    """Returns the answer to a reference that means this key."""
    spelling = 0 if key == candidate.key else 1
    return Answer(
        world=candidate.world,
        document=candidate.document,
        slot=candidate.slot,
        rank=candidate.rank,
        key=key,
        spelling=spelling,
        damaged=candidate.damaged,
        exact=candidate.exact and spelling == 0,
        outlook=outlook,
        crc32c=crc32c,
        asset_type=asset_type,
    )


def _absent_tally(row: KeyRow, unmet: Sequence[Candidate], context: Context) -> Iterator[KeyTally | Listed]:
    """Yields the tally of a key that a record certainly names but that exists nowhere: it counts as out of step."""
    lost = [each for each in unmet if each.world is World.RECORDS and each.sure and not each.damaged]
    reading = read_path(row.path, context)
    asset_type = None if reading is None else reading.rule.type
    if lost and context.scope.takes_type(asset_type) and context.scope.takes_name(row.key, row.path):
        owners = sorted({each.document for each in lost})
        tally = KeyTally(
            key=row.key,
            asset_type=asset_type,
            char_id=owners[0] if len(owners) == 1 else None,
            local=False,
            bucket=False,
            named=any(each.exact for each in lost),
            right=False,
            wanted=True,
            pending=True,
        )
        yield tally
        if context.lists:
            yield from listed(row, None, ObjectDecision(Outlook.ABSENT), tally, lost, context)


def _is_lone(row: KeyRow) -> bool:
    """Whether only one side exists, and the other may exist under another spelling."""
    return (row.local is None) is not (row.remote is None) and may_be_respelt(row.key)


def _paired(rows: Iterable[KeyRow]) -> Iterator[KeyRow]:
    """Yields the rows, with each file without an object joined to the only object of its name.

    The object's spelling stays. A Mac, and some file servers, write a name in decomposed form that a bucket or a record
    has composed.
    """
    lone: dict[str, list[KeyRow]] = defaultdict(list)
    for row in rows:
        if _is_lone(row):
            lone[nfc(row.key)].append(row)
        else:
            yield row
    for alike in lone.values():
        files = [row for row in alike if row.local is not None]
        objects = [row for row in alike if row.remote is not None]
        if len(files) == 1 and len(objects) == 1:
            seen = files[0]
            yield msgspec.structs.replace(objects[0], path=seen.path, local=seen.local, local_known=seen.local_known)
            yield msgspec.structs.replace(files[0], local=None, agreed=None)
        else:
            yield from _collided(files, objects)
            yield from objects


def _collided(files: Sequence[KeyRow], objects: Sequence[KeyRow]) -> Iterator[KeyRow]:
    """Yields files that may or may not be the object's: if there is an object, their name is taken in the bucket."""
    for row in files:
        if objects and row.local is not None and row.local.twin is None:
            twin = min(each.key for each in objects)
            yield msgspec.structs.replace(row, local=msgspec.structs.replace(row.local, twin=twin))
        else:
            yield row
