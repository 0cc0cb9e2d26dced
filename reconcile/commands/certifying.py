"""The result of a proof: the verification of everything in scope, and a certificate for each character."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from reconcile.commands.examining import Examined
from reconcile.core.changes import Code, Finding
from reconcile.core.context import Context
from reconcile.core.findings import worst_first
from reconcile.core.proof import (
    CERTIFICATE_FORMAT,
    FORMAT,
    Certificate,
    Mode,
    Proved,
    Reference,
    Suspect,
    Verification,
    holds,
    named_by,
)
from reconcile.core.rows import RemoteObject, World
from reconcile.pipeline.roster import Roster
from reconcile.project import OpenProject

_PATHS = (Code.LOCAL_PATH, Code.LOCAL_PATH_ELSEWHERE, Code.OUTSIDE_ROOT)


class Proof(msgspec.Struct, frozen=True):
    """A verification, and a certificate for each character; none if the scope is limited to asset types or paths."""

    verification: Verification
    certificates: tuple[Certificate, ...]


class AllNamed:
    """All that records in scope name: the references to prove, and the problems of everything else."""

    def __init__(self, roster: Roster, context: Context) -> None:
        self.documents = tuple(roster.documents)
        named = [
            each
            for world, document in roster.by_world()
            if world is World.RECORDS or context.rewrite_local_db
            for each in named_by(document, world, context)
        ]
        self.references = [each for each in named if isinstance(each, Reference)]
        self._suspects = [each for each in named if isinstance(each, Suspect)]
        self._problems = [each for each in named if isinstance(each, Finding)]
        self.keys = frozenset(
            [each.key for each in self.references] + [key for each in self._suspects for key in each.keys]
        )

    def problems(self, objects: Mapping[str, RemoteObject], unread: Mapping[str, str]) -> Iterator[Finding]:
        """Yields the problems that are not about references. A text that names no object counts as prose."""
        yield from self._problems
        for each in self._suspects:
            if any(key in objects for key in each.keys):
                yield each.finding
            elif (why := next((unread[key] for key in each.keys if key in unread), None)) is not None:
                message = f"{each.finding.message}, if an object of that name is there: {why}"
                yield msgspec.structs.replace(each.finding, code=Code.UNREADABLE_OBJECT, message=message)


def certify(
    project: OpenProject,
    context: Context,
    mode: Mode,
    named: AllNamed,
    verdicts: Mapping[str, Examined],
    beside: Iterable[Finding],
    *,
    created: str,
    read: int,
    seconds: float,
) -> Proof:
    """Makes the verification and the certificates. ``beside`` are the problems that are not about references, ``read``
    is the number of bytes that were hashed."""
    lines: dict[str, list[Proved]] = defaultdict(list)
    problems: dict[str, list[Finding]] = defaultdict(list)
    for found in beside:
        problems[found.char_id or ""].append(found)
    for reference in named.references:
        verdict = verdicts[reference.key]
        said = tuple(complain(reference) for complain in verdict.complaints)
        problems[reference.char_id] += said
        lines[reference.char_id].append(_proved(reference, verdict, ok=holds(said)))
    everything = [problem for char_id in sorted(problems) for problem in problems[char_id]]
    refs = [line for listed in lines.values() for line in listed]
    common: dict[str, Any] = {
        "tool": project.origin.tool,
        "created": created,
        "bucket": str(context.bucket),
        "records": str(project.settings.records),
        "stores": project.stores,
        "mode": mode,
    }
    verification = Verification(
        format=FORMAT,
        scope=context.scope,
        documents=len(named.documents),
        objects=len(verdicts),
        checked=len(refs) + sum(problem.code in _PATHS for problem in everything),
        ok=sum(line.ok for line in refs),
        bytes=read,
        seconds=seconds,
        complete=all(problem.code is not Code.UNREADABLE_OBJECT for problem in everything),
        problems=tuple(sorted(everything, key=worst_first)),
        **common,
    )
    # A proof about a part of a record says nothing about the whole record.
    certified = () if context.scope.asset_types or context.scope.paths else named.documents
    certificates = tuple(
        Certificate(
            format=CERTIFICATE_FORMAT,
            char_id=document.id,
            holds=holds(tuple(problems[document.id])),
            document=context.document(document.id),
            update_time=document.update_time,
            references=tuple(lines[document.id]),
            problems=tuple(problems[document.id]),
            **common,
        ).sealed()
        for document in certified
    )
    return Proof(verification, certificates)


def _proved(reference: Reference, verdict: Examined, *, ok: bool) -> Proved:
    slot, found = reference.slot, verdict.found
    return Proved(
        entry=slot.entry,
        field=slot.field,
        position=slot.position,
        item=slot.item,
        world=reference.world,
        uri=reference.uri,
        ok=ok,
        size=None if found is None else found.size,
        crc32c=None if found is None else found.crc32c,
        generation=None if found is None else found.generation,
        content_type=None if found is None else found.content_type,
        checked=verdict.checked,
        against=verdict.against,
        at=slot.at or msgspec.UNSET,
    )
