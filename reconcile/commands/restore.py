"""Plans a restore: finds local files that exist only in the bucket, with the join of records, objects and local files
that a plan uses. ``restoring`` makes the files: verified, whole, and never overwriting.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconcile.adapters.sorting import Spill
from reconcile.commands.belonging import Belonging, belonging, owners
from reconcile.core.changes import Code, Finding, change_id
from reconcile.core.clashes import Places
from reconcile.core.digest import Comparison, compare_object
from reconcile.core.encoding import can_unpack
from reconcile.core.events import Listener, Warned, silent
from reconcile.core.findings import make, worst_first
from reconcile.core.names import fold, nfc
from reconcile.core.plan import Scope
from reconcile.core.restoration import (
    FORMAT,
    HIDDEN_PLACE,
    KIND,
    LEFT_ALONE,
    NO_PLACE,
    PLACE_TAKEN,
    Restore,
    RestoreBeside,
    RestorePlan,
    name_beside,
)
from reconcile.core.rows import Agreed, Coverage, FileProblem, KeyRow, LocalFile, RemoteObject
from reconcile.core.sides import quoted
from reconcile.core.stages import is_whole, key_rows
from reconcile.pipeline.account import now
from reconcile.pipeline.engine import StreamEngine
from reconcile.pipeline.gaps import finding_of
from reconcile.pipeline.inventory import Inventory
from reconcile.project import OpenProject


def survey(
    project: OpenProject,
    scope: Scope | None = None,
    *,
    everything: bool = False,
    beside: bool = False,
    listener: Listener = silent,
) -> RestorePlan:
    """Plans to restore the files in scope that only the bucket has.

    These are the files that a rule matches, those that a record names, and with ``everything`` all others too. With
    ``beside`` the bucket's version of a file with different content is put next to it. Raises as ``planner.survey``. If
    the project was opened with ``makes_root``, a missing root counts as an empty one.
    """
    with Spill(project.options.memory, project.spill_folder) as spill:
        seen = Inventory(project, scope or Scope(), listener, spill)
        made = _Survey(project, seen.roster.scope, everything, beside).planned(seen, StreamEngine(spill))
    for warning in project.state.warnings:
        listener(Warned(warning))
    return made


class _Survey:
    """One search for what is missing."""

    def __init__(self, project: OpenProject, scope: Scope, everything: bool, beside: bool) -> None:
        self._project = project
        self._scope = scope
        self._everything = everything
        self._beside = beside
        self._findings: list[Finding] = []
        self._missing: list[tuple[KeyRow, RemoteObject, Belonging]] = []
        self._here: set[str] = set()  # local paths that are not ASCII, in composed form
        self._in_step = 0
        self._complete = True

    def planned(self, seen: Inventory, engine: StreamEngine) -> RestorePlan:
        project, scope = self._project, self._scope
        named = owners((row.value for row in seen.references()), seen.context)
        for _, group in engine.group(seen.keys(), is_whole):
            for row in key_rows(group):
                claim = belonging(row.key, row.path, seen.context, named)
                if row.remote is not None and scope.takes_name(row.key, row.path) and self._is_wanted(claim):
                    self._take(row, row.remote, claim)
        for gap in seen.gaps:
            self._complete = self._complete and not gap.hides_ours
            self._findings.append(finding_of(gap, project))
        actions = self._without_clashes(list(self._actions(seen.covered.local)))
        # The partial files of an interrupted restore show that this is the right folder.
        if self._complete and not project.options.allows_empty and not any(action.begun for action in actions):
            self._judge_root()
        return RestorePlan(
            format=FORMAT,
            tool=project.origin.tool,
            created=now(),
            scope=scope,
            everything=self._everything,
            stores=project.stores,
            complete=self._complete,
            in_step=self._in_step,
            bytes=sum(action.size - action.begun for action in actions),
            actions=actions,
            findings=tuple(sorted(dict.fromkeys(self._findings), key=worst_first)),
        )

    def _judge_root(self) -> None:
        """Reports a root that exists but has lost its files: it may be the place where a drive is mounted, and a
        restore would fill another disk. A root that is gone is made anew."""
        held = self._project.lost_files()
        if held and not self._project.root_is_gone:
            self._findings.append(make(Code.ROOT_EMPTIED, str(self._project.settings.root), None, held=held))

    def _is_wanted(self, claim: Belonging) -> bool:
        """Whether to restore an object: because a rule matches it, a record names it, or everything is wanted."""
        if claim.is_nobodys:
            return self._everything and self._scope == Scope()
        return claim.is_in(self._scope)

    def _take(self, rows: KeyRow, found: RemoteObject, claim: Belonging) -> None:
        local, uri, char_id = rows.local, self._project.bucket.uri(found.key), claim.char_id
        if local is not None and not local.path.isascii():
            self._here.add(nfc(local.path))
        if not found.size:
            if not found.key.endswith("/"):  # the placeholder of a folder
                self._findings.append(make(Code.EMPTY_OBJECT, uri, char_id))
        elif local is None or ((same := _same(local, found, rows.agreed)) is not Comparison.SAME and self._beside):
            self._missing.append((rows, found, claim))
        elif same is Comparison.DIFFERENT:
            self._findings.append(_left_alone(local, char_id, found.size))
        elif same is Comparison.UNKNOWN and found.encoding:
            why = f'"{found.encoding}", so whether the local file has its content is not known; it was left alone'
            self._findings.append(make(Code.ENCODED_OBJECT, uri, char_id, why=why))
        else:
            self._in_step += 1

    def _actions(self, local: Coverage) -> Iterator[Restore]:
        for rows, found, (char_id, asset_type, _) in self._missing:
            uri, beside = self._project.bucket.uri(found.key), rows.local is not None
            path = name_beside(rows.local.path) if rows.local is not None else rows.path
            if path is not None and nfc(path) in self._here:
                self._in_step += 1  # its file is here, under the spelling of another object
            elif path is None:
                self._findings.append(make(NO_PLACE, uri, char_id, why="no local path leads to this name"))
            elif (why := self._project.places.refusal(path)) is not None:
                self._findings.append(make(NO_PLACE, uri, char_id, why=why))
            elif not beside and self._project.places.ignores(path):
                continue
            elif (rival := self._project.places.rival(path)) is not None:
                self._findings.append(_place_taken(uri, char_id, path, rival))
            elif not (beside or local.covers(path)):
                self._complete = False
                above = (each for each in local.unreadable if path.startswith(each))
                folder = next(above, "a folder outside the scope")
                self._findings.append(make(HIDDEN_PLACE, uri, char_id, path=path, folder=folder))
            elif found.crc32c is None:
                self._findings.append(make(Code.UNVERIFIABLE, uri, char_id))
            elif found.encoding and not can_unpack(found.encoding):
                why = f'"{found.encoding}", which cannot be unpacked here; it was not restored'
                self._findings.append(make(Code.ENCODED_OBJECT, uri, char_id, why=why))
            else:
                begun = 0 if found.encoding else self._project.places.begun(path, found.generation)
                yield (RestoreBeside if beside else Restore)(
                    id=change_id(KIND, found.key, found.crc32c, found.generation, *(("beside",) if beside else ())),
                    key=found.key,
                    path=path,
                    char_id=char_id,
                    asset_type=asset_type,
                    uri=uri,
                    size=found.size,
                    crc32c=found.crc32c,
                    generation=found.generation,
                    updated=found.updated,
                    begun=min(begun, found.size),
                    encoding=found.encoding,
                )

    def _without_clashes(self, actions: list[Restore]) -> tuple[Restore, ...]:
        """Returns the actions whose files can exist side by side: of two that clash, the one with the lower rank. Names
        that only some file systems take for the same come last; if this one does, the first file keeps the place."""
        ranks = {found.key: claim.rank for _, found, claim in self._missing}
        ranked = sorted(actions, key=lambda action: (ranks[action.key], action.key))
        sure, maybe = Places(nfc), Places(fold)
        is_late: dict[str, bool] = {}
        uris = {action.path: action.uri for action in reversed(ranked)}
        for action in ranked:
            rival = sure.take(action.path)
            if rival is None:
                is_late[action.id] = maybe.take(action.path) is not None
            else:
                clash = _place_taken(action.uri, action.char_id, action.path, f"that of {uris[rival]}")
                self._findings.append(clash)
        kept = (action for action in actions if action.id in is_late)
        return tuple(sorted(kept, key=lambda action: is_late[action.id]))


def _same(local: LocalFile, found: RemoteObject, agreed: Agreed | None) -> Comparison:
    if local.problem is not None:
        return Comparison.DIFFERENT
    return compare_object(local.size, local.crc32c, found, agreed)


def _left_alone(local: LocalFile, char_id: str | None, size: int) -> Finding:
    differs = local.problem in (None, FileProblem.EMPTY)
    what = LEFT_ALONE if differs or local.problem is None else LEFT_ALONE._replace(code=Code(local.problem.value))
    why = f"it has {local.size} bytes" if differs else local.detail
    return make(what, local.path, char_id, size=size, why=why, quoted=quoted(local.path))


def _place_taken(uri: str, char_id: str | None, path: str, other: str) -> Finding:
    return make(PLACE_TAKEN, uri, char_id, path=path, other=other, quoted=quoted(uri))
