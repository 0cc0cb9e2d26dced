"""What a page shows beside the plan and the counts: of which type a finding is, and the two sides of each conflict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from reconcile.config import Settings
from reconcile.core.media import content_type
from reconcile.core.rows import KeyFacts
from reconcile.core.sides import modified, updated, ways_out
from reconcile.pipeline.planner import Survey


class Side(msgspec.Struct, frozen=True):
    """One side of a conflict: its size in bytes, when it was last written (RFC 3339), its content type."""

    size: int
    when: str
    kind: str


class Conflict(msgspec.Struct, frozen=True):
    """A file that differs from its object; ``ways`` are what a person may want, with the commands for it."""

    local: Side
    bucket: Side
    ways: tuple[tuple[str, str], ...]


class Details(msgspec.Struct, frozen=True):
    """``types`` are the asset types of what findings are about, and ``conflicts`` the sides of those in conflict, both
    by the finding's subject. ``pictures`` are small images (``data:`` URIs) by name: of a local file its path, of an
    object its URI."""

    types: Mapping[str, str] = {}
    conflicts: Mapping[str, Conflict] = {}
    pictures: Mapping[str, str] = {}


def details(survey: Survey, settings: Settings) -> Details:
    """What the survey knows of the subjects of its findings, without pictures."""
    return Details(
        types=dict(_types(survey, settings)),
        conflicts={each.path: found for each in survey.conflicts if each.path and (found := _conflict(each))},
    )


def _types(survey: Survey, settings: Settings) -> Iterator[tuple[str, str]]:
    asset_map, known = settings.asset_map, survey.known_ids
    for subject in {finding.subject for finding in survey.plan.findings}:
        path: str | None = subject
        if "://" in subject:
            key = settings.bucket.key(subject)
            path = None if key is None else asset_map.path_for(key, known)
        reading = None if path is None else asset_map.read(path, known)
        if reading is not None:
            yield subject, reading.rule.type


def _conflict(facts: KeyFacts) -> Conflict | None:
    local, remote = facts.local, facts.remote
    if local is None or remote is None:
        return None
    return Conflict(
        local=Side(local.size, modified(local), content_type(local.path)),
        bucket=Side(remote.size, updated(remote), remote.content_type or "no content type"),
        ways=ways_out(local.path),
    )
