"""Uploads one object: exactly the planned content, under a generation precondition; a lost answer is settled by
reading."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Any, Protocol

import msgspec

from reconcile.adapters.gcs.answers import OBJECT_FIELDS, Resource, decode, decode_resource, holds, nonsense, number
from reconcile.adapters.gcs.body import Body, Payload
from reconcile.adapters.gcs.failures import Doubt, Transient, wait
from reconcile.adapters.gcs.http import JSON, GcsClient, Write
from reconcile.adapters.lean_http import Reply
from reconcile.core.cost import CHUNK
from reconcile.core.errors import (
    PreconditionFailed,
    Rejected,
    SourceError,
    StoreError,
    StoreUnavailable,
    Uncertain,
    not_as_planned,
)
from reconcile.core.portable import Portable
from reconcile.ports import DesiredObject

QUANTUM = 256 * 1024
"""Bytes. GCS keeps a multiple of this from each chunk except the last."""
MAX_RESTARTS = 3
KEPT = ("cacheControl", "contentDisposition", "contentLanguage", "customTime", "metadata")
_MAP = msgspec.json.Decoder(dict[str, Any])


class Sessions(Protocol):
    """The store of resumable upload sessions. A session URI is a secret: whoever has it can write the object."""

    def get(self, key: str, crc32c: str, size: int) -> str | None:
        """Returns the URI remembered for uploading this content, or None."""

    def put(self, key: str, crc32c: str, size: int, uri: str) -> None:
        """Remembers a session; called before the first byte is sent."""

    def drop(self, key: str, crc32c: str, size: int) -> None:
        """Forgets a session."""


class _SessionGone(Portable, Exception):
    """Raised if the server does not know the upload session, or no longer does."""


class ObjectUpload:
    """The upload that creates or replaces one object.

    Up to one chunk goes as a single multipart request, more goes in chunks through a resumable session. Both carry the
    planned crc32c, so that the server refuses different content, and the generation precondition. Metadata that users
    set on a replaced object is kept, except its encoding: the new content has none. Without ``sessions`` an upload
    that was killed starts over.
    """

    def __init__(self, client: GcsClient, desired: DesiredObject, body: Body, sessions: Sessions | None) -> None:
        self._client = client
        self._desired = desired
        self._name = desired.key
        self._expected = desired.if_generation_match
        self._body = body
        self._sessions = sessions
        self._write = Write(client, desired.key, "taken")
        self._resumed = False
        self._said: dict[str, Any] = {}

    def run(self) -> Resource:
        """Sends the content and returns the object, whichever attempt created it. Raises as ObjectStore.put does."""
        self._body.check_size()
        try:
            if self._expected:
                self._said = self._said_of_it()
            made = self._resumable() if self._body.size > CHUNK else self._multipart()
        except (PreconditionFailed, Transient) as failure:
            return self._settled(failure)
        if (
            holds(made, self._body.size, self._desired.crc32c)
            and made.name == self._name
            and made.generation != self._expected
        ):
            return made
        # The server does not check the content, or its answer is about another object.
        message = f"{self._client.where} stored different content at {self._name!r} from what was sent"
        raise Uncertain(message, hint="run verify, and check the endpoint")

    def _query(self, kind: str) -> dict[str, str | int]:
        return {"uploadType": kind, "ifGenerationMatch": self._expected, "fields": OBJECT_FIELDS}

    def _metadata(self) -> bytes:
        fields = {"name": self._name, "contentType": self._desired.content_type, "crc32c": self._desired.crc32c}
        return msgspec.json.encode(self._said | fields)

    def _said_of_it(self) -> dict[str, Any]:
        """Returns the metadata that users set on the generation to be replaced.

        Empty if another generation is live by now: the write is then refused.
        """
        try:
            answer = self._client.seen(self._name, ",".join(KEPT), ifGenerationMatch=self._expected)
        except PreconditionFailed:
            return {}
        said = {} if answer is None else decode(_MAP, answer, self._client.where, "an object")
        return {name: said[name] for name in KEPT if said.get(name) is not None}

    def _multipart(self) -> Resource:
        edge = os.urandom(16).hex().encode()
        head = (
            b"--%b\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%b\r\n--%b\r\nContent-Type: %b\r\n\r\n"
            % (edge, self._metadata(), edge, self._desired.content_type.encode())
        )
        payload = Payload(self._body, 0, self._body.size, head, b"\r\n--%b--\r\n" % edge)
        headers = {"Content-Type": f"multipart/related; boundary={edge.decode()}"}
        path, query = self._client.objects(upload=True), self._query("multipart")

        def attempt() -> Resource:
            with self._write.attempt():
                return self._decoded(
                    self._client.once("POST", path, query, headers=headers, data=payload, about=self._name)
                )

        return self._client.retrying(attempt, self._client.patience(body=True))

    def _resumable(self) -> Resource:
        try:
            made = self._drive()
        except (PreconditionFailed, Rejected, SourceError):
            self._drop_session()
            raise
        self._drop_session()
        return made

    def _drop_session(self) -> None:
        if self._sessions is not None:
            self._sessions.drop(*self._session_key())

    def _drive(self) -> Resource:
        """Sends chunk by chunk to the end and returns the object.

        After a failure it asks the server how much arrived. Progress within a session renews the patience.
        """
        uri = self._remembered()
        offset: int | None = None
        patience, lost_sessions, furthest = self._client.patience(body=True), 0, 0
        while True:
            try:
                if uri is None:
                    uri, offset = self._begin(), 0
                answer = self._ask(uri) if offset is None else self._send(uri, offset)
                if isinstance(answer, Resource):
                    return answer
                if offset is not None and answer >= min(furthest + QUANTUM, self._body.size):
                    patience, furthest = self._client.patience(body=True), answer
                if answer >= self._body.size:  # nothing is left to send: ask again after a pause
                    raise Transient(f"{self._client.where} has all of {self._name!r}, but has not made the object yet")
                offset = answer
            except Transient as failure:
                wait(patience, failure)
                offset = None
            except _SessionGone:
                uri, lost_sessions = None, lost_sessions + 1
                self._forget(lost_sessions)
                patience, furthest = self._client.patience(body=True), 0

    def _forget(self, lost_sessions: int) -> None:
        self._drop_session()
        self._resumed = False
        if lost_sessions > MAX_RESTARTS:
            message = f"{self._client.where} lost the upload session of {self._name!r} again and again"
            raise StoreUnavailable(message, hint="run again later")

    def _session_key(self) -> tuple[str, str, int]:
        """Identifies a session: an upload of other content, to another server or with another precondition must not
        finish it."""
        key = f"{self._client.where}\n{self._name}\n{self._expected}\n{self._desired.content_type}"
        return key, self._desired.crc32c, self._body.size

    def _remembered(self) -> str | None:
        uri = None if self._sessions is None else self._sessions.get(*self._session_key())
        # A URI from a file on disk must not send our credentials to another server.
        if uri is None or not self._client.is_mine(uri):
            return None
        self._resumed = True
        return uri

    def _begin(self) -> str:
        answer = self._client.once(
            "POST",
            self._client.objects(upload=True),
            self._query("resumable"),
            headers={
                **JSON,
                "X-Upload-Content-Type": self._desired.content_type,
                "X-Upload-Content-Length": str(self._body.size),
            },
            data=self._metadata(),
            about=self._name,
        )
        uri: str | None = answer.headers.get("Location")
        if not uri:
            raise nonsense(self._client.where, "without an upload session")
        try:
            uri = self._client.at_home(uri)
        except ValueError:  # the URI is not repeated: it is a secret
            raise nonsense(self._client.where, "with an upload session that is not a URL") from None
        if self._sessions is not None:
            self._sessions.put(*self._session_key(), uri)
        return uri

    def _ask(self, uri: str) -> Resource | int:
        """Asks how much the server has: returns the number of bytes, or the object if the upload is finished."""
        answer = self._put(uri, f"bytes */{self._body.size}", b"")
        kept = self._kept(answer)
        if isinstance(kept, int):
            self._body.tell(kept)
        return kept

    def _send(self, uri: str, offset: int) -> Resource | int:
        """Sends the next chunk; returns how many bytes the server then has, or the object."""
        stop = min(offset + CHUNK, self._body.size)
        span = f"bytes {offset}-{stop - 1}/{self._body.size}"
        try:
            with self._write.attempt() if stop == self._body.size else nullcontext():
                kept = self._kept(self._put(uri, span, Payload(self._body, offset, stop)))
        except Rejected:
            if self._resumed:
                # An earlier run may have sent different content.
                raise _SessionGone from None
            raise
        if isinstance(kept, int) and kept > stop:
            raise nonsense(self._client.where, f"that it has {kept} bytes of {self._name!r}, when {stop} were sent")
        if isinstance(kept, int) and kept < min(offset + QUANTUM, stop):
            raise Transient(f"{self._client.where} kept nothing of a chunk of {self._name!r}")
        return kept

    def _put(self, uri: str, span: str, data: Payload | bytes) -> Reply:
        accept = (200, 201, 308, 404, 410, 499)
        answer = self._client.once(
            "PUT", uri, headers={"Content-Range": span}, data=data, accept=accept, about=self._name
        )
        if answer.status_code in (404, 410, 499):
            raise _SessionGone
        return answer

    def _kept(self, answer: Reply) -> Resource | int:
        if answer.status_code != 308:
            return self._decoded(answer)
        reach = answer.headers.get("Range")
        if reach is None:
            return 0
        start, _, end = reach.removeprefix("bytes=").partition("-")
        last = number(end) if start == "0" else None
        if last is None or last >= self._body.size:
            raise nonsense(
                self._client.where, f"that it has {reach[:40]!r} of the {self._body.size} bytes of {self._name!r}"
            )
        return last + 1

    def _decoded(self, answer: Reply) -> Resource:
        return self._write.read(lambda: decode_resource(answer.content, self._client.where))

    def _settled(self, failure: PreconditionFailed | Transient) -> Resource:
        """Returns the object if an attempt whose answer was lost created it, which is checked by reading; else raises.

        A failed precondition may be the effect of such an attempt. Without one, the object is somebody else's, even if
        its content is the same.
        """
        doubt, refused = self._write.doubt, isinstance(failure, PreconditionFailed)
        if not refused and doubt is Doubt.NONE:
            raise failure
        within = self._client.traffic.deadline / (1 if refused else 4)
        try:
            answer = self._client.seen(self._name, OBJECT_FIELDS, self._client.patience(within=within))
            live = None if answer is None else decode_resource(answer, self._client.where, self._name)
        except StoreError as error:
            raise (self._write.uncertain() if doubt else failure) from error
        if live is not None and doubt and holds(live, self._body.size, self._desired.crc32c):
            return live
        found = live.generation if live else 0
        if found != self._expected:
            raise not_as_planned(self._client.where, self._name, found, self._expected) from failure
        if refused:
            message = f"{self._client.where} refused {self._name!r} although its precondition holds: {failure.message}"
            raise Rejected(message, hint="plan again") from failure
        if doubt is Doubt.LOST:
            raise self._write.uncertain() from failure
        raise failure
