"""A server in this process that answers with whatever bytes a test wants, at whatever pace."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable, Iterator
from typing import Self

PIECE = 64 * 1024


class RawServer:
    """Answers each request, once its head has come, with the bytes that ``answer`` gives, ``pause`` seconds apart; then
    it closes the connection. ``asked`` holds the heads."""

    def __init__(self, answer: Iterable[bytes] | bytes, pause: float = 0.0) -> None:
        self._answer = answer
        self._pause = pause
        self._closed = threading.Event()
        self.asked: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._closed.set()
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while not self._closed.is_set():
                connection, _ = self._socket.accept()
                threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                part = connection.recv(PIECE)
                if not part:
                    return
                head += part
            self.asked.append(head)
            for piece in [self._answer] if isinstance(self._answer, bytes) else self._answer:
                if self._closed.wait(self._pause):
                    return
                connection.sendall(piece)
            # To close with a request's body unread would reset the connection, and lose what was sent last.
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(10)
            while connection.recv(PIECE):
                pass


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """An answer as HTTP writes it; its length is that of the body, unless the headers say otherwise."""
    known = b"".join(each.lower() + b"\r\n" for each in headers)
    length = b"" if b"length" in known or b"transfer-encoding" in known else b"Content-Length: %d\r\n" % len(body)
    return b"HTTP/1.1 %b\r\n%b%b\r\n%b" % (status, length, b"".join(each + b"\r\n" for each in headers), body)


class Endless:
    """The same piece again and again, after a beginning, for each connection anew."""

    def __init__(self, start: bytes, piece: bytes) -> None:
        self._start = start
        self._piece = piece

    def __iter__(self) -> Iterator[bytes]:
        yield self._start
        while True:
            yield self._piece
