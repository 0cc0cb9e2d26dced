"""The values that calls to a Firestore collection exchange, over JSON or gRPC, and the errors that they raise."""

from __future__ import annotations

import re
from typing import NamedTuple

from reconcile.adapters.network import WayFault
from reconcile.core.portable import Portable

_NO_TOKEN = "Getting metadata from plugin failed"
_NEVER_SENT = ("failed to connect to all addresses", "DNS resolution failed", _NO_TOKEN)
"""How gRPC's messages begin when it gave up before the request left this machine."""
LONGEST = 2_000
"""Characters of a server's message that are kept."""
_NUMBERED = re.compile(r"__id(-?[0-9]{1,19})__")
_SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class CallFailed(Portable, Exception):
    """A call that was answered with a status other than OK.

    ``code`` is gRPC's name for the status, or NO_CREDENTIALS. ``pause`` is the seconds that the server asks to wait,
    and ``reasons`` are the machine-readable causes in the details of the status, such as ``SERVICE_DISABLED``.
    ``fault`` is a diagnosed fault on the way to the server. ``unsent`` means that the request never left this machine,
    ``no_token`` that this was for want of a token, ``reached`` that it can have reached the server, and ``throttled``
    that the server said that it gets too many requests.
    """

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
        self.no_token = no_token or code == "UNAUTHENTICATED" or details.startswith(_NO_TOKEN)
        self.reached = not (unsent or details.startswith(_NEVER_SENT))
        self.throttled = code == "RESOURCE_EXHAUSTED" or pause > 0


class Nonsense(Portable, Exception):
    """An answer that Firestore would never give. The text continues "it answers …"."""


class Span(NamedTuple):
    """A half-open range of ids: from ``start`` (exclusive if ``after``) to ``end`` (always exclusive); None is
    unbounded."""

    start: str | None = None
    end: str | None = None
    after: bool = False


class Collected(NamedTuple):
    """The address of a collection: its database, its parent (a document or the database root), and its own id."""

    database: str
    parent: str
    collection: str

    @classmethod
    def of(cls, project: str, database: str, collection: str) -> Collected:
        """Returns the address for a path of collection and document ids, such as ``shows/re_zero/characters``."""
        root = f"projects/{project}/databases/{database}"
        above, _, own = collection.rpartition("/")
        return cls(root, "/".join(filter(None, [root, "documents", above])), own)

    @property
    def prefix(self) -> str:
        """The part that the full names of all its documents begin with."""
        return f"{self.parent}/{self.collection}/"

    def id_of(self, name: str) -> str:
        """Returns the id in a full name. Raises Nonsense if the document is not in this collection."""
        document = name.removeprefix(self.prefix)
        if document == name or not document or "/" in document:
            raise Nonsense(f"with the document {name[:200]!r}, which is not of the collection")
        return document


def rank(document: str) -> tuple[bool, int, str]:
    """Returns the sort key of an id in the order of names: numeric ids, which come from Datastore, sort first."""
    numbered = _NUMBERED.fullmatch(document)
    return (True, 0, document) if numbered is None else (False, int(numbered[1]), "")


def field_path(name: str) -> str:
    """Returns the field path of a top-level field, quoted if its name requires it."""
    if _SIMPLE.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"
