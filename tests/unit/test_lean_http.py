"""Our own HTTP: connections that are kept, answers with an end, proxies and certificates as ``requests`` has them."""

from __future__ import annotations

import base64
import gzip
import os
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.utils import get_environ_proxies, select_proxy

from reconcile.adapters.lean_http import Failed, FailureKind, Http
from reconcile.adapters.network import proxy_for
from reconcile.adapters.pace import LONGEST_ANSWER
from reconcile.core.errors import ConfigError
from tests.servers.listening import listening
from tests.servers.raw import Endless, RawServer, answer

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle")
BODY = b"0123456789" * 100_000


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no proxy and no certificates."""
    for name in (*VARIABLES, "ssl_cert_file"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.fixture
def http() -> Iterator[Http]:
    made = Http(deadline=5, connections=2)
    yield made
    made.close()


class Handler(BaseHTTPRequestHandler):
    """Answers with the body, and counts the connections. ``seen`` holds what was asked, and its headers."""

    protocol_version = "HTTP/1.1"
    connections = 0
    seen: ClassVar[list[tuple[str, dict[str, str]]]] = []

    def setup(self) -> None:
        super().setup()
        type(self).connections += 1

    def do_GET(self) -> None:
        self.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def do_CONNECT(self) -> None:
        """A tunnel, for one connection."""
        self.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.send_response(200)
        self.end_headers()
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as there:
            back = threading.Thread(target=copied, args=(there, self.connection), daemon=True)
            back.start()
            copied(self.connection, there)
            back.join()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def copied(source: Any, sink: Any) -> None:
    try:
        while data := source.recv(64 * 1024):
            sink.sendall(data)
    except OSError:
        pass
    for each in (source, sink):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, type[Handler]]]:
    """A server, its port, and its handler, which counts."""
    handler = type("Counting", (Handler,), {"connections": 0, "seen": []})
    with listening(handler, tls) as port:
        yield port, handler


# -- connections ------------------------------------------------------------------------------------------------


def test_one_thread_needs_one_connection(http: Http) -> None:
    with serving() as (port, handler):
        for _ in range(5):
            assert http.ask("GET", f"http://127.0.0.1:{port}/").content == BODY
        streamed = http.ask("GET", f"http://127.0.0.1:{port}/", stream=True)
        assert b"".join(streamed.pieces()) == BODY
        http.ask("GET", f"http://127.0.0.1:{port}/")
        assert handler.connections == 1


def test_an_answer_that_is_left_costs_its_connection_and_no_other_answer(http: Http) -> None:
    with serving() as (port, handler):
        left = http.ask("GET", f"http://127.0.0.1:{port}/", stream=True)
        left.read(10)
        assert http.ask("GET", f"http://127.0.0.1:{port}/").content == BODY
        left.close()
        assert left.read() == b""
        assert http.ask("GET", f"http://127.0.0.1:{port}/").content == BODY
        assert handler.connections == 2


def test_a_connection_that_the_server_closed_meanwhile_is_not_asked_again(http: Http) -> None:
    with RawServer(answer(b"x")) as server:
        for _ in range(3):
            assert http.ask("GET", server.url).content == b"x"
            [kept] = [each for idle in http._idle.values() for each in idle]
            assert select.select([kept.sock], [], [], 5)[0]  # its end has come
        assert len(server.asked) == 3


def test_a_connection_that_closes_when_it_is_used_again_costs_no_request(http: Http) -> None:
    asked: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        for answers in (1, 1, 0):
            with listener.accept()[0] as connection:
                for _ in range(answers):
                    asked.append(connection.recv(64 * 1024))
                    connection.sendall(answer(b"%d" % len(asked)))
                connection.recv(64 * 1024)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        assert [http.ask("GET", url).content for _ in range(2)] == [b"1", b"2"]
        with pytest.raises(Failed):
            http.ask("GET", url)  # a new connection that gives no answer either
    assert len(asked) == 2


def test_a_connection_that_was_idle_for_long_is_not_used_again() -> None:
    now = [0.0]
    http = Http(deadline=5, connections=2, clock=lambda: now[0])
    with serving() as (port, handler):
        for seconds, connections in ((59, 1), (59, 1), (61, 2)):
            http.ask("GET", f"http://127.0.0.1:{port}/")
            now[0] += seconds
            http.ask("GET", f"http://127.0.0.1:{port}/")
            assert handler.connections == connections
    http.close()


def test_behind_a_provisional_answer_a_connection_is_not_used_again(http: Http) -> None:
    early = threading.Event()
    pieces = [b"HTTP/1.1 103 Early Hints\r\n\r\n", answer(b"late")]

    class Late:
        def __iter__(self) -> Iterator[bytes]:
            yield pieces[0]
            early.wait(5)
            yield pieces[1]

    with RawServer(Late()) as server:
        assert http.ask("GET", server.url).status_code == 103
        assert not any(http._idle.values())
        early.set()


def test_no_more_connections_are_kept_than_were_allowed(http: Http) -> None:
    with serving() as (port, _):
        url = f"http://127.0.0.1:{port}/"
        answers = [http.ask("GET", url, stream=True) for _ in range(5)]
        for each in answers:
            each.whole(5)
        assert sum(len(idle) for idle in http._idle.values()) == 2


def test_a_forked_process_does_not_share_the_connections_of_its_parent(plain: pytest.MonkeyPatch, http: Http) -> None:
    with serving() as (port, handler):
        for process in (os.getpid(), os.getpid(), 1, 1):
            plain.setattr(os, "getpid", lambda process=process: process)
            assert http.ask("GET", f"http://127.0.0.1:{port}/").content == BODY
        assert handler.connections == 2


# -- answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "how", "said"),
    [
        (b"", FailureKind.SILENT, "closed connection"),
        (b"nonsense\r\n\r\n", FailureKind.SILENT, "nonsense"),
        (answer(b"short", b"Content-Length: 99"), FailureKind.SILENT, "breaks off"),
        (answer(b"5\r\nshort\r\n", b"Transfer-Encoding: chunked"), FailureKind.SILENT, "breaks off"),
        (answer(b"5\r\nsh", b"Transfer-Encoding: chunked"), FailureKind.SILENT, "breaks off"),
        (answer(b"zz\r\n", b"Transfer-Encoding: chunked"), FailureKind.SILENT, "breaks off"),
        (answer(b"-5\r\nshort", b"Transfer-Encoding: chunked"), FailureKind.SILENT, ""),
        (answer(b"no gzip", b"Content-Encoding: gzip"), FailureKind.SILENT, "gzip"),
        (answer(gzip.compress(BODY)[:-9], b"Content-Encoding: gzip"), FailureKind.SILENT, "gzip"),
    ],
    ids=range(9),
)
def test_an_answer_that_breaks_off_is_none(http: Http, body: bytes, how: FailureKind, said: str) -> None:
    with RawServer(body) as server, pytest.raises(Failed) as caught:
        http.ask("GET", server.url)
    assert caught.value.how is how
    assert said in caught.value.why
    assert caught.value.reached


@pytest.mark.parametrize(
    "body",
    [
        answer(BODY),
        answer(gzip.compress(BODY), b"Content-Encoding: gzip"),
        answer(b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY), b"Transfer-Encoding: chunked"),
        answer(BODY, b"X-Length: none").replace(b"Content-Length", b"Content-Size"),
    ],
    ids=["length", "gzip", "chunked", "until the end"],
)
def test_a_whole_answer_comes_however_it_is_sent(http: Http, body: bytes) -> None:
    with RawServer(body) as server:
        assert http.ask("GET", server.url).content == BODY


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"]
)
def test_an_answer_without_end_ends(http: Http, start: bytes) -> None:
    with RawServer(Endless(start, b"x" * 1024 * 1024)) as server, pytest.raises(Failed) as caught:
        http.ask("GET", server.url)
    assert caught.value.how is FailureKind.TOO_LONG
    assert f"{LONGEST_ANSWER:,}" in caught.value.why


@pytest.mark.parametrize("piece", [bytes(64 * 1024), gzip.compress(b"") * 500], ids=["padding", "empty members"])
def test_packed_bytes_that_come_to_nothing_end(http: Http, piece: bytes) -> None:
    start = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"x")
    with RawServer(Endless(start, piece)) as server, pytest.raises(Failed) as caught:
        http.ask("GET", server.url)
    assert "come to nothing" in caught.value.why


def test_packed_bytes_that_come_to_nothing_slowly_are_not_waited_for(http: Http) -> None:
    start = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"x")
    with RawServer(Endless(start, bytes(1024)), pause=0.01) as server:
        answered = http.ask("GET", server.url, stream=True)
        with pytest.raises(Failed) as caught:
            answered.whole(0.2)
    assert caught.value.how is FailureKind.SLOW


@pytest.mark.parametrize("piece", [b"X-More: 1\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_head_without_end_ends(http: Http, piece: bytes) -> None:
    with RawServer(Endless(b"HTTP/1.1 200 OK\r\n", piece * 1000)) as server, pytest.raises(Failed):
        http.ask("GET", server.url)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
def test_bytes_that_drip_are_not_waited_for(start: bytes) -> None:
    slow = Http(deadline=0.2, connections=1)
    with RawServer(Endless(start, b"x"), pause=0.05) as server, pytest.raises(Failed) as caught:
        slow.ask("GET", server.url)
    assert caught.value.how in (FailureKind.SLOW, FailureKind.SILENT)
    slow.close()


@pytest.mark.parametrize("url", ["", "127.0.0.1:1", "ftp://127.0.0.1", "http://", "http://127.0.0.1:nope", "http://[::1",
                                 "http://" + "a" * 70 + ".example", "http://127.0.0.1:1/a b"])  # fmt: skip
def test_what_is_no_url_is_told_without_repeating_its_secrets(http: Http, url: str) -> None:
    with pytest.raises(Failed) as caught:
        http.ask("GET", f"{url}?signature=geheim")
    assert "geheim" not in str(caught.value)
    assert caught.value.how is FailureKind.NO_URL or not caught.value.reached


def test_a_port_where_nobody_listens_was_never_reached(http: Http) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Failed, match="Connection refused") as caught:
        http.ask("GET", f"http://127.0.0.1:{port}/")
    assert not caught.value.reached


# -- the way there ----------------------------------------------------------------------------------------------

LOGIN = "Basic " + base64.b64encode(b"ai:ge heim").decode()


def test_plain_requests_go_through_a_proxy_whole_with_its_login(plain: pytest.MonkeyPatch, http: Http) -> None:
    with serving() as (port, proxy):
        plain.setenv("http_proxy", f"http://ai:ge%20heim@127.0.0.1:{port}")
        assert http.ask("GET", "http://storage.example/o?a=1").content == BODY
        [(asked, headers)] = proxy.seen
    assert asked == "http://storage.example/o?a=1"
    assert headers["proxy-authorization"] == LOGIN
    assert headers["host"] == "storage.example"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_encrypted_requests_go_through_a_tunnel_and_their_headers_stay_inside(
    plain: pytest.MonkeyPatch, http: Http, tls: ssl.SSLContext, certificate: Path, scheme: str
) -> None:
    plain.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with serving(tls) as (port, server), serving(tls if scheme == "https" else None) as (proxy_port, proxy):
        plain.setenv("https_proxy", f"{scheme}://ai:ge%20heim@localhost:{proxy_port}")
        for _ in range(2):
            sent = {"Authorization": "Bearer t"}
            assert http.ask("GET", f"https://localhost:{port}/o?a=1", sent).content == BODY
        [(asked, headers)] = proxy.seen
        assert (asked, headers["proxy-authorization"]) == (f"localhost:{port}", LOGIN)
        assert "authorization" not in headers
        assert [path for path, _ in server.seen] == ["/o?a=1"] * 2
        assert all("proxy-authorization" not in inner for _, inner in server.seen)
        assert server.seen[0][1]["authorization"] == "Bearer t"
        assert (server.connections, proxy.connections) == (1, 1)
        http.close()


def test_a_proxy_that_cannot_be_used_is_a_wrong_setting(plain: pytest.MonkeyPatch, http: Http) -> None:
    plain.setenv("http_proxy", "ftp://127.0.0.1:1")
    with pytest.raises(ConfigError, match="of http_proxy has a scheme that is not known"):
        http.ask("GET", "http://storage.example/")


HOSTS = st.sampled_from(
    ["localhost", "a.example", "x.a.example", "xa.example", "127.0.0.1", "10.1.2.3", "192.168.7.9", "::1", "example"]
)
ENTRIES = st.sampled_from(
    ["*", "localhost", ".example", "example", "a.example", "a.example:8080", "127.0.0.1", "127.0.0.0/8", "10.1.2.0/24",
     "10.1.2.3", "192.168.7.9:8080", " a.example ", "", "::1", ".", "10.1.2.3/33", "A.EXAMPLE", "nonsense/8"]
)  # fmt: skip


@given(
    st.sampled_from(["http", "https"]),
    HOSTS,
    st.sampled_from(["", ":8080", ":443"]),
    st.lists(ENTRIES, max_size=3),
    st.dictionaries(st.sampled_from(["http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
                    st.sampled_from(["http://one:1", "http://two:2", ""]), max_size=3),
    st.sampled_from(["no_proxy", "NO_PROXY"]),
)  # fmt: skip
def test_a_proxy_is_chosen_as_requests_chooses_it(
    scheme: str, host: str, port: str, entries: list[str], proxies: dict[str, str], spelled: str
) -> None:
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}{port}/x"
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            patch.delenv(name)
        for name, value in {**proxies, spelled: ",".join(entries)}.items():
            patch.setenv(name, value)
        theirs = select_proxy(url, get_environ_proxies(url))
        ours = proxy_for(url)
    assert (ours.url if ours else None) == (theirs or None)


class Pieces:
    """A body that is sent as it is read."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.times = 0

    def __len__(self) -> int:
        return sum(map(len, self.pieces))

    def __iter__(self) -> Iterator[bytes]:
        self.times += 1
        return iter(self.pieces)


def test_a_body_that_is_streamed_has_a_length_and_is_never_sent_again_unasked(http: Http) -> None:
    asked = [b"", b""]

    def serve(listener: socket.socket) -> None:
        for number, end in enumerate((b"\r\n\r\n", b"two")):
            with listener.accept()[0] as connection:
                while not asked[number].endswith(end):
                    asked[number] += connection.recv(1024)
                connection.sendall(answer(b"x"))
                connection.recv(1)  # the first one is kept, and closes when it is used again

    body = Pieces([b"one", b"two"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        http.ask("GET", url)
        with pytest.raises(Failed) as caught:
            http.ask("POST", url, body=body)
        assert caught.value.reached
        assert body.times == 1
        http.ask("POST", url, body=body)
    assert b"content-length: 6\r\n" in asked[1].lower()
    assert b"transfer-encoding" not in asked[1].lower()


def test_an_answer_that_comes_before_the_whole_body_was_sent_is_read(http: Http) -> None:
    has_answered = threading.Event()

    def serve(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            asked = b""
            while not asked.endswith(b"begin"):
                asked += connection.recv(1024)
            connection.sendall(b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 2\r\n\r\nno")
        has_answered.set()

    class Long(Pieces):
        def __iter__(self) -> Iterator[bytes]:
            yield b"begin"
            assert has_answered.wait(5)
            yield from self.pieces

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        found = http.ask("POST", url, body=Long([b"x" * 64 * 1024] * 64))
    assert (found.status_code, found.content) == (412, b"no")
