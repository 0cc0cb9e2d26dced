"""Makes signed URLs: of named assets, of everything that a character has in the bucket, or of an asset type.

Only existing objects get one. Local files are not read, so this works on a machine that has none.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from reconcile.adapters.system import current
from reconcile.adapters.workers import results
from reconcile.commands.belonging import belonging, owners
from reconcile.commands.explain import keys_of
from reconcile.core.context import Context
from reconcile.core.duration import format_duration, parse_duration
from reconcile.core.errors import NotThere, UsageError
from reconcile.core.events import Listener, silent
from reconcile.core.names import key_problem, spellings
from reconcile.core.plan import Scope
from reconcile.core.rows import RemoteObject
from reconcile.core.rules import AssetRule
from reconcile.core.stages.explode import explode
from reconcile.pipeline.roster import open_records, read_roster
from reconcile.ports import LONGEST_URL
from reconcile.project import OpenProject
from reconcile.run_options import CONCURRENCY

FORMAT = "reconcile.url/1"
LIFETIME = "15m"


class Links(msgspec.Struct, frozen=True):
    """The document of ``url --json``.

    ``urls`` maps the URI of each object to a URL with which anybody can read it until ``expires`` (RFC 3339).
    ``missing`` are the subjects of which the bucket has nothing. ``may_end_early`` says that the key which signed the
    URLs may be replaced before they expire. The other fields are set if a single asset was requested.
    """

    format: str
    expires: str
    urls: dict[str, str]
    missing: tuple[str, ...] = ()
    may_end_early: bool = False
    subject: str | msgspec.UnsetType = msgspec.UNSET
    key: str | msgspec.UnsetType = msgspec.UNSET
    uri: str | msgspec.UnsetType = msgspec.UNSET
    url: str | msgspec.UnsetType = msgspec.UNSET
    content_type: str | msgspec.UnsetType | None = msgspec.UNSET


def lifetime_of(length: str | float | datetime.timedelta, name: str = "expires") -> float:
    """Returns the lifetime of a URL in seconds, given as text such as ``"15m"``, as seconds, or as a timedelta. Raises
    UsageError for a lifetime that no URL can have."""
    try:
        seconds = parse_duration(length) if isinstance(length, str) else length
    except ValueError as error:
        raise UsageError(f"{name}: {error}", hint=f"for example {LIFETIME}") from error
    seconds = seconds.total_seconds() if isinstance(seconds, datetime.timedelta) else seconds
    if not 1 <= seconds <= LONGEST_URL:
        raise UsageError(
            f"{name}: a signed URL cannot hold for {format_duration(seconds) if seconds >= 1 else f'{seconds:g}s'}",
            hint=f"give a time from 1s to {format_duration(LONGEST_URL)}, the longest that Cloud Storage allows",
        )
    return seconds


def links(
    project: OpenProject,
    subjects: Sequence[str],
    expires: str | float | datetime.timedelta,
    *,
    scope: Scope | None = None,
    assets_only: bool = False,
    listener: Listener = silent,
) -> Links:
    """Signs URLs for a lifetime that ``lifetime_of`` accepts. A subject is a path, a key, a gs:// URI or (unless
    ``assets_only``) a character, whose types a scope narrows. Without a subject, URLs are made for everything in scope.

    Raises UsageError if nothing is named or the bucket has no URLs, NotThere if nothing that is named is in the bucket,
    AccessDenied if the credentials cannot sign, and whatever reading the stores raises.
    """
    within = scope or Scope()
    lifetime = lifetime_of(expires)
    if not subjects and within == Scope():
        raise UsageError(
            "no asset is named", hint="name a path, a gs:// URI or a character, or give --char-id or --asset-type"
        )
    signer = project.signer
    found: dict[str, RemoteObject] = {}
    missing: list[str] = []
    asset: RemoteObject | None = None
    for subject in dict.fromkeys(subjects):
        meant = (_asset(project, subject) or []) if assets_only else _meant(project, subject, within, listener)
        asset = meant if isinstance(meant, RemoteObject) else None
        of_it = [meant] if isinstance(meant, RemoteObject) else meant
        found |= {each.key: each for each in of_it}
        missing += () if of_it else (subject,)
    if not subjects:
        found = {each.key: each for each in _in_scope(project, within, listener)}
    if not found:
        raise _nothing(project, missing)
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=int(lifetime))
    jobs = (lambda key=key: (key, signer.sign(key, expires=lifetime)) for key in found)
    signed = dict(results(jobs, CONCURRENCY))
    made = Links(
        format=FORMAT,
        expires=f"{until:%Y-%m-%dT%H:%M:%SZ}",
        urls={project.bucket.uri(key): signed[key] for key in found},
        missing=tuple(missing),
        may_end_early=lifetime > signer.holds_for,
    )
    if asset is None or len(subjects) != 1:
        return made
    return msgspec.structs.replace(
        made,
        subject=subjects[0],
        key=asset.key,
        uri=project.bucket.uri(asset.key),
        url=signed[asset.key],
        content_type=asset.content_type,
    )


def _nothing(project: OpenProject, missing: Sequence[str]) -> NotThere:
    if not missing:
        return NotThere(
            f"nothing that was requested is in {project.bucket}", hint="`reconcile status` says what is where"
        )
    more = f" (nor are {len(missing) - 1} more)" if len(missing) > 1 else ""
    return NotThere(
        f"{missing[0]!r} is not in {project.bucket}{more}",
        hint=f"`reconcile explain {current().quoted(missing[0])}` says what is where",
    )


def _meant(project: OpenProject, subject: str, within: Scope, listener: Listener) -> RemoteObject | list[RemoteObject]:
    """Returns the object of an asset, or those of a character."""
    if not subject or "/" in subject or "\\" in subject or not within.takes_character(subject):
        return _asset(project, subject) or []
    try:
        return _in_scope(project, msgspec.structs.replace(within, char_ids=(subject,)), listener)
    except UsageError:
        found = _asset(project, subject)
        if found is None and "." not in subject:
            raise  # it looks like an id, and the error names similar ids
        return found or []


def _asset(project: OpenProject, subject: str) -> RemoteObject | None:
    """Returns the object that a subject means, in either Unicode form of its name."""
    names = (name for key in keys_of(project, subject) for name in dict.fromkeys((key, *spellings(key))))
    return next((found for name in names if (found := _get(project, name)) is not None), None)


def _get(project: OpenProject, key: str) -> RemoteObject | None:
    is_name = key_problem(project.bucket.object_name(key)) is None
    return project.objects.get(key) if is_name and not key.endswith("/") else None


def _in_scope(project: OpenProject, scope: Scope, listener: Listener) -> list[RemoteObject]:
    """Returns the objects in scope, in the order of their keys: those that are in it by their names, and those that its
    records name."""
    roster, context = open_records(project, scope, listener, lambda: read_roster(project, scope, listener))
    scope = roster.scope
    references = (each for world, document in roster.by_world() for each in explode(document, world, context))
    named = owners(references, context)
    types = tuple(rule.type for rule in context.asset_map.rules if _leads_to(rule, scope))
    prefixes = context.asset_map.key_prefixes(scope.char_ids, types) if types else ()
    found = {each.key: each for prefix in prefixes for each in project.objects.list(prefix)}
    away = (key for key in named if not key.startswith(prefixes))
    gotten = results((partial(_get, project, key) for key in away), CONCURRENCY)
    found |= {each.key: each for each in gotten if each is not None}
    return [each for key, each in sorted(found.items()) if _is_wanted(each, context, named)]


def _leads_to(rule: AssetRule, scope: Scope) -> bool:
    """Whether names that the rule matches can show that they are in scope. For other rules only a record can."""
    return scope.takes_type(rule.type) and (rule.names_character or not scope.char_ids)


def _is_wanted(found: RemoteObject, context: Context, named: Mapping[str, str]) -> bool:
    if not found.size or found.key.endswith("/"):
        return False  # the placeholder of a folder, or an empty object
    whose = belonging(found.key, context.asset_map.path_for(found.key, context.known_ids), context, named)
    return not whose.is_nobodys and whose.is_in(context.scope) and context.takes_key(found.key)
