"""One existing key while it is judged: its reading, its decision, and everything that follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import msgspec

from reconcile.core.catalogue import Listed
from reconcile.core.changes import Code, Finding, Reason, Replace, SetMetadata, Upload, change_id
from reconcile.core.context import Context, Typing
from reconcile.core.decide import ObjectDecision, Verb, decide_object
from reconcile.core.digest import Comparison, compare_object
from reconcile.core.findings import UNKNOWN_NAME, WRONG_TYPE, make
from reconcile.core.media import is_generic, wrong_type
from reconcile.core.names import is_below, key_problem, nfc
from reconcile.core.notes import Note, note_of
from reconcile.core.rows import (
    Agreed,
    Answer,
    Candidate,
    Claim,
    FileProblem,
    KeyFacts,
    KeyRow,
    KeyTally,
    Outlook,
    Source,
    World,
)
from reconcile.core.rules import AssetRule, Reading
from reconcile.core.sides import BOTH_SIDES, local_side, quoted, remote_side, side_text
from reconcile.core.stages.listing import listed

KeyOutput: TypeAlias = (
    Upload | Replace | SetMetadata | Finding | Answer | Claim | KeyTally | KeyFacts | Agreed | Listed | Source
)


def read_path(path: str | None, context: Context) -> Reading | None:
    return None if path is None else context.asset_map.read(path, context.known_ids)


class JudgedKey:
    """One exact key with its reading and its decision."""

    def __init__(self, row: KeyRow, context: Context) -> None:
        self.row = row
        self.context = context
        self.reading = read_path(row.path, context)
        unsure = row.local is not None and not (context.ids_known or context.asset_map.keys_are_paths)
        if unsure:  # a character that is not known yet could give the file another key
            self.decision = ObjectDecision(Outlook.UNKNOWN)
        else:
            bad_name = self._bad_name() if row.remote is None else None
            self.decision = decide_object(row, context.replacing, taken=self.reading is not None, bad_name=bad_name)

    def _bad_name(self) -> str | None:
        """Returns why the bucket can hold no object of this name, or None."""
        odd = None if is_below(self.row.key) else "a part of the name is empty, '.' or '..'"
        return key_problem(self.context.bucket.object_name(self.row.key)) or odd

    @property
    def rule(self) -> AssetRule | None:
        return None if self.reading is None else self.reading.rule

    @property
    def asset_type(self) -> str | None:
        return None if self.rule is None else self.rule.type

    def outputs(self, candidates: Sequence[Candidate]) -> Iterator[KeyOutput]:
        owner = self._owner(candidates)
        row, trace = self.row, self.context.trace
        is_traced = row.key in trace or (row.path is not None and row.path in trace)
        if is_traced or self.decision.code is Code.CONTENT_CONFLICT:
            yield KeyFacts(**msgspec.structs.asdict(row), candidates=tuple(candidates), outlook=self.decision.outlook)
        yield from self._news()
        if row.remote is not None and row.local is None and row.remote.crc32c and not row.remote.encoding:
            yield Source(row.key, row.remote.size, row.remote.crc32c, row.remote.generation)
        scope = self.context.scope
        if not scope.takes_character(owner) and not candidates:
            return
        claims = list(self._claims(candidates))
        note = note_of(self.context.asset_map, row.path)
        if note is not None:
            claims += self._given(note)
        yield from claims
        if not scope.takes_type(self.asset_type) or not scope.takes_name(row.key, row.path):
            return
        yield from self._change(owner)
        if (retyped := self._typed(owner)) is not None:
            yield retyped
        wanted = bool(claims) or bool(candidates) or self.row.local is not None or self._may_be_named(owner)
        yield from self._findings(owner, candidates, wanted=wanted)
        tally = self._tally(owner, candidates, wanted=wanted, claimed=bool(claims) or isinstance(retyped, SetMetadata))
        yield tally
        if self.context.lists:
            yield from listed(self.row, self.reading, self.decision, tally, candidates, self.context)

    def _news(self) -> Iterator[Agreed]:
        """Yields the state to remember, if both sides have the same content and that is not remembered yet."""
        local, remote, known = self.row.local, self.row.remote, self.row.agreed
        if local is None or remote is None or local.crc32c is None:
            return
        now = Agreed(self.row.key, local.size, local.crc32c, remote.generation)
        if now != known and compare_object(local.size, local.crc32c, remote) is Comparison.SAME:
            yield now

    def _may_be_named(self, owner: str | None) -> bool:
        """Whether a record that could not be read may name the key."""
        return self.context.records.hides(owner or "")

    def _owner(self, candidates: Sequence[Candidate]) -> str | None:
        """Returns the owner: the path's character, or if the path names none, the only record (or local document)
        naming the key."""
        if self.reading is None or self.reading.char_id is not None:
            return None if self.reading is None else self.reading.char_id
        if self.reading.is_ambiguous:
            return None
        named_by = sorted({candidate.document for candidate in candidates})
        return named_by[0] if len(named_by) == 1 else None

    def _change(self, owner: str | None) -> Iterator[Upload | Replace]:
        local, remote, key = self.row.local, self.row.remote, self.row.key
        if self.decision.verb is Verb.NOTHING or local is None or local.crc32c is None:
            return
        uri = self.context.bucket.uri(key)
        what: dict[str, Any] = {
            "key": key,
            "char_id": owner,
            "asset_type": self.asset_type,
            "uri": uri,
            "size": local.size,
            "crc32c": local.crc32c,
        }
        if self.decision.verb is Verb.CREATE:
            ident = change_id("upload", uri, local.crc32c, local.size)
            yield Upload(id=ident, reason=Reason.MISSING_IN_BUCKET, **what)
        elif remote is not None:
            yield Replace(
                id=change_id("replace", uri, local.crc32c, local.size),
                reason=Reason.CONTENT_DIFFERS,
                if_generation_match=remote.generation,
                old_size=remote.size,
                old_crc32c=remote.crc32c,
                **what,
            )

    def _typed(self, owner: str | None) -> SetMetadata | Finding | None:
        """Returns the change or finding about a wrong content type of an asset's object that otherwise stays as it is.

        A generic type is corrected if the rules say so and the preconditions are known; any other wrong type is
        reported.
        """
        remote, decision, context = self.row.remote, self.decision, self.context
        if remote is None or self.reading is None or not context.scope.takes_character(owner):
            return None
        if decision.verb is not Verb.NOTHING or decision.outlook is not Outlook.THERE:
            return None
        right = wrong_type(remote.key, remote.content_type)
        if right is None:
            return None
        uri, old = context.bucket.uri(remote.key), remote.content_type or None
        is_to_fix = context.content_types is Typing.FIX and is_generic(old) and remote.metageneration > 0
        if not is_to_fix or remote.crc32c is None:
            return make(WRONG_TYPE, uri, owner, found=old or "(nothing)", right=right)
        return SetMetadata(
            id=change_id("set_metadata", uri, remote.crc32c, remote.size, right),
            key=remote.key,
            char_id=owner,
            asset_type=self.asset_type,
            reason=Reason.GENERIC_TYPE,
            uri=uri,
            size=remote.size,
            crc32c=remote.crc32c,
            content_type=right,
            old=old,
            if_generation_match=remote.generation,
            if_metageneration_match=remote.metageneration,
        )

    def _claimants(self, reading: Reading, candidates: Sequence[Candidate]) -> list[str]:
        """Returns the characters whose field the file may fill: its owner, or all who name it if its path has no id."""
        if not reading.characters and not reading.rule.names_character:
            return sorted({candidate.document for candidate in candidates})
        return [] if reading.char_id is None else [reading.char_id]

    def _claims(self, candidates: Sequence[Candidate]) -> Iterator[Claim]:
        """Yields the file's claim on its field in its owner's record, unless that record already names it there."""
        rule, reading, scope = self.rule, self.reading, self.context.scope
        if rule is None or reading is None or rule.field is None:
            return
        if self.decision.outlook in (Outlook.ABSENT, Outlook.NEVER) or self.decision.code in _NOT_CLAIMED:
            return
        if not any(scope.takes_type(other.type) for other in self.context.asset_map.rules if other.field == rule.field):
            return
        for owner in self._claimants(reading, candidates):
            entry = reading.entry_for(owner)
            named = any(_names(candidate, owner, rule.field) for candidate in candidates)
            if entry is not None and not named and scope.takes_character(owner):
                yield self._claim(owner, entry, rule.field, rule)

    def _given(self, note: Note) -> Iterator[Claim]:
        """Yields the file's claims on the fields that a workflow's call assigned to it, whatever its rule says."""
        reading, scope = self.reading, self.context.scope
        if reading is None or reading.char_id is None or nfc(reading.char_id) != note.owner:
            return
        local, is_there = self.row.local, self.decision.outlook is Outlook.THERE and self.context.ids_known
        if local is None or local.crc32c is None or not is_there:
            return
        if scope.takes_character(reading.char_id) and scope.takes_type(reading.rule.type):
            for entry, field in note.places:
                claim = self._claim(reading.char_id, entry, field, reading.rule)
                yield msgspec.structs.replace(claim, crc32c=local.crc32c)

    def _claim(self, owner: str, entry: str, field: str, rule: AssetRule) -> Claim:
        local, remote = self.row.local, self.row.remote
        modified: int | str = local.mtime_ns if local is not None else remote.updated if remote is not None else ""
        return Claim(
            document=owner,
            entry=entry,
            field=field,
            key=self.row.key,
            asset_type=rule.type,
            many=rule.many,
            outlook=self.decision.outlook if self.context.ids_known else Outlook.UNKNOWN,
            crc32c=self.decision.crc32c,
            local=local is not None,
            modified=modified,
        )

    def _findings(self, owner: str | None, candidates: Sequence[Candidate], *, wanted: bool) -> Iterator[Finding]:
        decision, path, key = self.decision, self.row.path, self.row.key
        uri = self.context.bucket.uri(key)
        if decision.code is Code.EMPTY_OBJECT and key.endswith("/") and not candidates:
            return  # the placeholder of a folder
        is_asset = bool(candidates) or self.reading is not None
        if decision.code is not None and (is_asset or decision.code not in _OF_ASSETS):
            wanted = wanted or decision.code is Code.EMPTY_OBJECT
            subject = uri if decision.code in _OF_OBJECTS or path is None else path
            yield self._finding(decision.code, subject, owner)
        if self._is_respelt():
            yield make(Code.OTHER_SPELLING, path or key, owner, uri=uri)
        if decision.outlook in (Outlook.ABSENT, Outlook.NEVER, Outlook.UNKNOWN):
            return
        if not wanted:
            yield make(Code.ORPHAN_OBJECT, uri, owner)
        elif owner is None and self.reading is not None and self.row.local is not None and self.context.ids_known:
            yield from self._ownership(self.reading, named=bool(candidates))

    def _finding(self, code: Code, subject: str, owner: str | None) -> Finding:
        local, remote, why = self.row.local, self.row.remote, self.decision.why
        if code is not Code.CONTENT_CONFLICT or local is None or remote is None:
            return make(code, subject, owner, why=why)
        ours, theirs = side_text(*local_side(local)), side_text(*remote_side(remote))
        return make(BOTH_SIDES, subject, owner, why=why, ours=ours, theirs=theirs, quoted=quoted(subject))

    def _is_respelt(self) -> bool:
        """Whether the file's own name would yield a key in another Unicode form."""
        row, context = self.row, self.context
        if row.local is None or row.remote is None or (row.key.isascii() and row.local.path.isascii()):
            return False
        return context.asset_map.key_for(row.local.path, context.known_ids) != row.key

    def _ownership(self, reading: Reading, *, named: bool) -> Iterator[Finding]:
        subject = self.row.path or self.row.key
        if reading.is_ambiguous:
            yield make(Code.AMBIGUOUS_CHARACTER, subject, None, characters=" or ".join(reading.characters))
        elif reading.char_id is None and reading.rule.names_character:
            guess = reading.captures.get("char_id")
            yield make(UNKNOWN_NAME if guess else Code.UNKNOWN_CHARACTER, subject, None, guess=guess)
        elif reading.rule.field is not None and not named:
            yield make(Code.UNKNOWN_CHARACTER, subject, None)

    def _tally(self, owner: str | None, candidates: Sequence[Candidate], *, wanted: bool, claimed: bool) -> KeyTally:
        in_records = [candidate for candidate in candidates if candidate.world is World.RECORDS]
        ownerless = owner is None and self.rule is not None and self.rule.field is not None and not in_records
        known = not self._may_be_named(owner)
        return KeyTally(
            key=self.row.key,
            asset_type=self.asset_type,
            char_id=owner,
            local=self.row.local is not None and self.row.local.problem is not FileProblem.SYMLINK,
            bucket=self.row.remote is not None,
            named=any(candidate.exact and candidate.key == self.row.key for candidate in in_records),
            right=self.decision.in_step and self.decision.code in _HARMLESS and not ownerless and known,
            wanted=wanted,
            # A new record may need what the local database names.
            pending=claimed
            or len(in_records) < len(candidates)
            or any(not candidate.exact or candidate.key != self.row.key for candidate in in_records),
        )


_NOT_CLAIMED = (Code.NAME_COLLISION, Code.UNDECODABLE_NAME, Code.EMPTY_OBJECT)
_OF_ASSETS = (Code.ENCODED_OBJECT, Code.EMPTY_OBJECT)
_OF_OBJECTS = (Code.UNVERIFIABLE, *_OF_ASSETS)
_HARMLESS = (None, Code.ENCODED_OBJECT)


def _names(candidate: Candidate, owner: str, field: str) -> bool:
    """Whether the owner's record names the key by its URI, in this field of some map or anywhere below it."""
    in_record = candidate.world is World.RECORDS and candidate.document == owner
    return in_record and candidate.exact and candidate.slot.field == field and candidate.slot.position is not None
