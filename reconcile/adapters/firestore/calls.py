"""What one call to a Firestore collection asks for and gives, whichever way it goes, and how it fails."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from reconcile.adapters.network import WayFault
from reconcile.core.portable import Portable

_NEVER_SENT = ("failed to connect to all addresses", "DNS resolution failed", "Getting metadata from plugin failed")
"""How gRPC begins when it gave up before the request left this machine."""
LONGEST = 2_000
"""Characters that are kept of what a server says."""
_NUMBERED = re.compile(r"__id(-?[0-9]{1,19})__")
_SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class CallFailed(Portable, Exception):
    """One call was answered by a status other than OK; ``code`` is the name that gRPC gives it, ``pause`` the seconds
    that the server asked to wait, ``reasons`` are what it gave beside its words, such as ``SERVICE_DISABLED``.
    ``fault`` is what it tells of the way to the server; ``unsent`` if the request never left this machine, ``no_token``
    if that was for want of a token."""

    def __init__(
        self,
        code: str,
        details: str,
        pause: float = 0.0,
        reasons: frozenset[str] = frozenset(),
        *,
        fault: WayFault | None = None,
        unsent: bool = False,
        no_token: bool = False,
    ) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details
        self.pause = pause
        self.reasons = reasons
        self.fault = fault
        self.unsent = unsent
        self._no_token = no_token

    @property
    def throttled(self) -> bool:
        """Whether the server said that there are too many requests."""
        return self.code == "RESOURCE_EXHAUSTED" or self.pause > 0

    @property
    def reached(self) -> bool:
        """Whether there was a connection."""
        return not self.never_sent

    @property
    def never_sent(self) -> bool:
        """Whether the request cannot have reached the server."""
        return self.unsent or self.details.startswith(_NEVER_SENT)

    @property
    def no_credentials(self) -> bool:
        """Whether it failed because no token could be had."""
        plugin = self.details.startswith("Getting metadata from plugin failed")
        return self._no_token or plugin or self.code == "UNAUTHENTICATED"


class CredentialsMissing(Portable, Exception):
    """There are no credentials to start with."""


class Nonsense(Portable, Exception):
    """An answer that no Firestore gives. Its text says which, after "it answers"."""


class Span(NamedTuple):
    """Ids from ``start`` (or ``after`` it) up to but without ``end``; None is no bound."""

    start: str | None = None
    end: str | None = None
    after: bool = False


class Found(NamedTuple):
    """A document as answered: values by field name, and its update time as a token."""

    id: str
    fields: Mapping[str, Any]
    update_time: str


class Collected(NamedTuple):
    """The collection that is asked: its database, the document or database above it, its own id."""

    database: str
    parent: str
    collection: str

    @classmethod
    def of(cls, project: str, database: str, collection: str) -> Collected:
        """From a path of collection and document ids, such as ``shows/re_zero/characters``."""
        root = f"projects/{project}/databases/{database}"
        above, _, own = collection.rpartition("/")
        return cls(root, "/".join(filter(None, [root, "documents", above])), own)

    @property
    def prefix(self) -> str:
        """The beginning of the full name of each of its documents."""
        return f"{self.parent}/{self.collection}/"

    def id_of(self, name: str) -> str:
        """The id in a full name. Raises Nonsense if the document is not of the collection."""
        document = name.removeprefix(self.prefix)
        if document == name or not document or "/" in document:
            raise Nonsense(f"with the document {name[:200]!r}, which is not of the collection")
        return document


def rank(document: str) -> tuple[bool, int, str]:
    """Where an id stands in the order of names: those that are numbers, as Datastore gave them, come first."""
    numbered = _NUMBERED.fullmatch(document)
    return (True, 0, document) if numbered is None else (False, int(numbered[1]), "")


def field_path(name: str) -> str:
    """A top-level field's name as a field path, quoted if it must be."""
    if _SIMPLE.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"
