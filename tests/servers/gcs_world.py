"""The rules of a GCS bucket in memory: generations, preconditions, checksums, names, holds, paging, sessions."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
import uuid
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from crc32c import crc32c

QUANTUM = 256 * 1024
_MATCHES = ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")


class ApiError(Exception):
    """An error answer of the JSON API."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    def body(self) -> bytes:
        """The body as the JSON API writes it."""
        error = {"message": self.message, "domain": "global", "reason": self.reason}
        return json.dumps({"error": {"code": self.status, "message": self.message, "errors": [error]}}).encode()


def crc32c_of(data: bytes) -> str:
    """crc32c as GCS writes it."""
    return base64.b64encode(crc32c(data).to_bytes(4, "big")).decode()


def md5_of(data: bytes) -> str:
    """MD5 as GCS writes it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


@dataclass(frozen=True)
class Preconditions:
    """The ``if…Match`` parameters of a request; None is not given."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Preconditions:
        """Read from a query string."""
        names = (
            "ifGenerationMatch",
            "ifGenerationNotMatch",
            "ifMetagenerationMatch",
            "ifMetagenerationNotMatch",
        )
        try:
            return cls(*(int(query[name]) if name in query else None for name in names))
        except ValueError:
            raise ApiError(400, "invalid", "Invalid value for a precondition") from None

    def check(self, live: Stored | None, *, reading: bool = False) -> None:
        """Raises 412, or 304 where a read asks for another than the live state."""
        generation = live.generation if live else 0
        metageneration = live.metageneration if live else 0
        if self.generation not in (None, generation) or self.metageneration not in (None, metageneration):
            raise ApiError(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
        if generation == self.not_generation or (live and metageneration == self.not_metageneration):
            raise ApiError(304 if reading else 412, "conditionNotMet", "The state is the one that was excluded.")


@dataclass(frozen=True)
class Stored:
    """A live object. Times are RFC 3339."""

    name: str
    data: bytes
    crc32c: str
    md5: str
    generation: int
    created: str
    updated: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    metageneration: int = 1

    def resource(self, bucket: str, url: str) -> dict[str, Any]:
        """The object resource of the JSON API."""
        own = {key: value for key, value in self.fields.items() if value is not None}
        return {
            "kind": "storage#object",
            "id": f"{bucket}/{self.name}/{self.generation}",
            "selfLink": f"{url}/storage/v1/b/{bucket}/o/…",
            "name": self.name,
            "bucket": bucket,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "size": str(len(self.data)),
            "crc32c": self.crc32c,
            **({"md5Hash": self.md5} if self.md5 else {}),
            "etag": f"{self.generation}/{self.metageneration}",
            "timeCreated": self.created,
            "updated": self.updated,
            "storageClass": "STANDARD",
            **own,
        }


@dataclass
class Session:
    """A resumable upload under way."""

    bucket: str
    name: str
    fields: dict[str, Any]
    preconditions: Preconditions
    received: bytearray = field(default_factory=bytearray)
    finished: Stored | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


WRITABLE = (
    "contentType",
    "metadata",
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "customTime",
    "temporaryHold",
    "eventBasedHold",
)


def check_name(name: str) -> None:
    """Raises 400 for a name that GCS does not take."""
    if not name:
        raise ApiError(400, "required", "Required parameter: name")
    bad = name in (".", "..") or "\r" in name or "\n" in name or name.startswith(".well-known/acme-challenge/")
    if bad or len(name.encode()) > 1024:
        raise ApiError(400, "invalid", "Invalid object name")


def check_hashes(hashes: Mapping[str, str], wanted: Mapping[str, Any]) -> None:
    """Raises 400 where the ``crc32c`` or ``md5Hash`` that is wanted is not the one that was found."""
    for name, found in hashes.items():
        if wanted.get(name) not in (None, found):
            message = f"Provided {name} {wanted[name]} doesn't match calculated {name} {found}."
            raise ApiError(400, "invalid", message)


class World:
    """Buckets and what they hold. Every change is made, and its preconditions are checked, under one lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[str, dict[str, Stored]] = {}
        self._sorted: dict[str, list[str]] = {}
        self._sessions: dict[str, Session] = {}
        self._generation = 0
        self.commits: list[tuple[str, int]] = []
        self.page_limit = 1000
        self.rewrite_limit: int | None = None
        """Bytes that one call of a rewrite moves; all of them if it is None."""
        self.requester_pays: str | None = None

    def make_bucket(self, bucket: str) -> None:
        """Makes an empty bucket, where there is none of the name."""
        with self._lock:
            self._buckets.setdefault(bucket, {})

    def objects(self, bucket: str) -> dict[str, Stored]:
        """A copy of what the bucket holds."""
        with self._lock:
            return dict(self._objects(bucket))

    def generations(self, name: str) -> list[int]:
        """Every generation that was ever committed under the name, in any bucket."""
        with self._lock:
            return [generation for each, generation in self.commits if each == name]

    def _objects(self, bucket: str) -> dict[str, Stored]:
        if bucket not in self._buckets:
            raise ApiError(404, "notFound", "The specified bucket does not exist.")
        return self._buckets[bucket]

    def _live(self, bucket: str, name: str, generation: int | None, pre: Preconditions, *, reading: bool) -> Stored:
        live = self._objects(bucket).get(name)
        if live is None or generation not in (None, live.generation):
            raise ApiError(404, "notFound", f"No such object: {bucket}/{name}")
        pre.check(live, reading=reading)
        return live

    def _next_generation(self) -> int:
        self._generation = max(self._generation + 1, time.time_ns() // 1000)
        return self._generation

    def insert(
        self, bucket: str, name: str, data: bytes, fields: Mapping[str, Any], pre: Preconditions | None = None
    ) -> Stored:
        """Creates or replaces an object, whole or not at all."""
        check_name(name)
        hashes = {"crc32c": crc32c_of(data), "md5Hash": md5_of(data)}
        check_hashes(hashes, fields)
        with self._lock:
            objects = self._objects(bucket)
            live = objects.get(name)
            (pre or Preconditions()).check(live)
            _refuse_held(live)
            generation = self._next_generation()
            now = _now()
            kept = {key: fields[key] for key in WRITABLE if key in fields}
            stored = Stored(name, data, hashes["crc32c"], hashes["md5Hash"], generation, now, now, kept)
            if live is None:
                self._sorted.pop(bucket, None)
            objects[name] = stored
            self.commits.append((name, generation))
            return stored

    def get(self, bucket: str, name: str, generation: int | None, pre: Preconditions) -> Stored:
        """The live object; an old generation is gone, as in a bucket without versioning."""
        with self._lock:
            return self._live(bucket, name, generation, pre, reading=True)

    def rewrite(
        self, bucket: str, name: str, target: str, fields: Mapping[str, Any], query: Mapping[str, str]
    ) -> tuple[Stored | None, dict[str, Any]]:
        """One call of a rewrite within the bucket: some bytes more, and the object at the end. A token names the source
        and how far it has come; the preconditions are checked by each call."""
        source = {f"if{name}": query[f"ifSource{name}"] for name in _MATCHES if f"ifSource{name}" in query}
        live = self.get(bucket, name, None, Preconditions())
        Preconditions.of(source).check(live)
        size, past = len(live.data), 0
        if "rewriteToken" in query:
            generation, _, reached = query["rewriteToken"].partition(".")
            if generation != str(live.generation):
                raise ApiError(400, "invalid", "The rewrite token is not of this source")
            past = int(reached)
        reached_now = min(size, past + (self.rewrite_limit or size))
        told: dict[str, Any] = {"totalBytesRewritten": str(reached_now), "objectSize": str(size)}
        if reached_now < size:
            return None, {**told, "done": False, "rewriteToken": f"{live.generation}.{reached_now}"}
        # Metadata that is given takes the place of all that the source has.
        made = self.insert(bucket, target, live.data, dict(fields) or live.fields, Preconditions.of(query))
        if live.md5 == "":
            made = self.compose(bucket, target)
        return made, {**told, "done": True}

    def compose(self, bucket: str, name: str) -> Stored:
        """Makes an object one that was composed of parts: it has no MD5."""
        with self._lock:
            found = replace(self._objects(bucket)[name], md5="")
            self._objects(bucket)[name] = found
            return found

    def patch(self, bucket: str, name: str, fields: Mapping[str, Any], pre: Preconditions) -> Stored:
        """Changes metadata: a new metageneration, the same generation."""
        with self._lock:
            live = self._live(bucket, name, None, pre, reading=False)
            changed = dict(live.fields) | {key: fields[key] for key in WRITABLE if key in fields}
            stored = replace(live, fields=changed, metageneration=live.metageneration + 1, updated=_now())
            self._objects(bucket)[name] = stored
            return stored

    def delete(self, bucket: str, name: str, generation: int | None, pre: Preconditions) -> None:
        """Deletes the live object."""
        with self._lock:
            live = self._live(bucket, name, generation, pre, reading=False)
            _refuse_held(live)
            del self._objects(bucket)[name]
            self._sorted.pop(bucket, None)

    def names(self, bucket: str, query: Mapping[str, str]) -> tuple[list[Stored], list[str], str | None]:
        """One page: objects, prefixes (with ``delimiter``) and the next page's token."""
        limit = min(int(query.get("maxResults", "1000")), self.page_limit, 1000)
        prefix, delimiter, end = query.get("prefix", ""), query.get("delimiter", ""), query.get("endOffset", "")
        with self._lock:
            objects = self._objects(bucket)
            if bucket not in self._sorted:
                self._sorted[bucket] = sorted(objects)
            names = self._sorted[bucket]
            after = _token_read(query["pageToken"]) if query.get("pageToken") else None
            items: list[Stored] = []
            prefixes: list[str] = []
            last = ""
            for name in names[bisect_left(names, max(prefix, query.get("startOffset", ""), after or "")) :]:
                if not name.startswith(prefix) or (end and name >= end):
                    break
                if after is not None and (name == after or (delimiter and _group(after, prefix, delimiter) == name)):
                    continue
                group = _group(name, prefix, delimiter)
                if group is not None and (group in prefixes or (after and _group(after, prefix, delimiter) == group)):
                    last = name
                    continue
                if len(items) + len(prefixes) == limit:
                    return items, prefixes, _token_write(last)
                last = name
                if group is None:
                    items.append(objects[name])
                else:
                    prefixes.append(group)
            return items, prefixes, None

    def begin(self, bucket: str, name: str, fields: dict[str, Any], pre: Preconditions) -> str:
        """Opens a resumable session; preconditions are checked when the object is committed."""
        check_name(name)
        with self._lock:
            self._objects(bucket)
            session_id = uuid.uuid4().hex
            self._sessions[session_id] = Session(bucket, name, fields, pre)
            return session_id

    def session(self, session_id: str) -> Session:
        """An open or finished session."""
        with self._lock:
            if session_id not in self._sessions:
                raise ApiError(404, "notFound", "The upload session is gone.")
            return self._sessions[session_id]

    def drop_session(self, session_id: str) -> None:
        """Forgets a session, as a cancel does or the end of its week."""
        with self._lock:
            self._sessions.pop(session_id, None)

    def session_ids(self) -> list[str]:
        """The sessions that are open or finished."""
        with self._lock:
            return list(self._sessions)

    def commit(self, session_id: str, hashes: Mapping[str, str]) -> Stored:
        """Makes the object of a session whose bytes are all there; the session is dead where that is refused."""
        session = self.session(session_id)
        try:
            data, fields = bytes(session.received), {**session.fields, **hashes}
            session.finished = self.insert(session.bucket, session.name, data, fields, session.preconditions)
        except ApiError:
            self.drop_session(session_id)
            raise
        return session.finished


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refuse_held(live: Stored | None) -> None:
    if live and (live.fields.get("temporaryHold") or live.fields.get("eventBasedHold")):
        message = f"Object '{live.name}' is under active Temporary hold and cannot be deleted, overwritten or archived."
        raise ApiError(403, "objectUnderActiveHold", message)


def _group(name: str, prefix: str, delimiter: str) -> str | None:
    at = name.find(delimiter, len(prefix)) if delimiter else -1
    return name[: at + len(delimiter)] if at >= 0 else None


def _token_write(name: str) -> str:
    return base64.urlsafe_b64encode(b"after:" + name.encode()).decode()


def _token_read(token: str) -> str:
    try:
        kind, _, name = base64.b64decode(token, altchars=b"-_", validate=True).decode().partition(":")
    except ValueError:
        kind = ""
    if kind != "after":
        raise ApiError(400, "invalid", "Invalid pageToken")
    return name
