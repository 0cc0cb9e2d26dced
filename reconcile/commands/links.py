"""A signed URL of one asset, found by any spelling that `explain` takes."""

from __future__ import annotations

import datetime
import shlex

import msgspec

from reconcile.commands.explain import keys_of
from reconcile.core.errors import NotThere
from reconcile.project import OpenProject

FORMAT = "reconcile.url/1"


class Link(msgspec.Struct, frozen=True):
    """``url --json``: a URL that anybody may read the object by until ``expires`` (RFC 3339)."""

    format: str
    subject: str
    key: str
    uri: str
    url: str
    expires: str
    content_type: str | None


def link(project: OpenProject, subject: str, lifetime: float) -> Link:
    """Signs a URL that holds for so many seconds.

    Raises UsageError for a subject that is not an asset's or a bucket without URLs, NotThere if no object is, Rejected
    for a lifetime that cannot be, AccessDenied if the credentials cannot sign.
    """
    signer = project.signer
    for key in keys_of(project, subject):
        found = project.objects.get(key)
        if found is not None:
            now = datetime.datetime.now(datetime.UTC)
            url = signer.sign(key, expires=lifetime)
            until = now + datetime.timedelta(seconds=lifetime)
            return Link(
                FORMAT, subject, key, project.bucket.uri(key), url, f"{until:%Y-%m-%dT%H:%M:%SZ}", found.content_type
            )
    raise NotThere(
        f"{subject!r} is not in {project.bucket}", hint=f"`reconcile explain {shlex.quote(subject)}` says what is where"
    )
