"""Proxies that are down or cannot be used, and certificates that are not known: the sentence names the variable."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import NoReturn

import pytest

from reconcile.adapters.firestore.calls import Collected
from reconcile.adapters.firestore.rest import CollectionReader
from reconcile.adapters.firestore.store import FirestoreRecordStore
from reconcile.adapters.gcs.failures import of_failed
from reconcile.adapters.gcs.store import GcsObjectStore
from reconcile.adapters.lean_http import Failed
from reconcile.adapters.network import grpc_advice, grpc_fault_of, masked
from reconcile.adapters.retry import Traffic
from reconcile.adapters.tokens import Transport, lacks
from reconcile.core.errors import AccessDenied, ConfigError, ReconcileError, StoreError, StoreUnavailable
from tests.servers.listening import listening

FAR = "https://storage.example"
VARIABLES = (
    *("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "no_proxy", "no_grpc_proxy"),
    *("requests_ca_bundle", "curl_ca_bundle", "ssl_cert_file", "grpc_default_ssl_roots_file_path"),
)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no proxy and no certificates."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.fixture
def dead() -> Iterator[str]:
    """A host and port where nobody listens, and nobody else will."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


class Refusing(BaseHTTPRequestHandler):
    status = 407

    def do_CONNECT(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_CONNECT()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_CONNECT()

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


class Empty(Refusing):
    status = 200

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


@pytest.fixture
def tls_port(tls: ssl.SSLContext) -> Iterator[int]:
    with listening(Empty, tls) as port:
        yield port


def listed(endpoint: str) -> ReconcileError | None:
    """What listing a bucket there raises."""
    try:
        with GcsObjectStore("b", "", endpoint, deadline=0.3) as store:
            list(store.list())
    except ReconcileError as error:
        return error
    return None


def read(endpoint: str) -> StoreError:
    """What reading the records there raises."""
    return failed(FirestoreRecordStore.open("p", "d", "c", endpoint, deadline=0.3))


def read_far() -> StoreError:
    """What reading the records far away raises, without credentials."""
    reads = CollectionReader(Collected.of("p", "d", "c"), FAR, deadline=0.3)
    return failed(FirestoreRecordStore(reads, no_writes, "firestore://p/d/c", Traffic(0.3)))


def no_writes() -> NoReturn:
    raise AssertionError


def failed(store: FirestoreRecordStore) -> StoreError:
    with pytest.raises(StoreError) as caught:
        list(store.ids())
    store.close()
    return caught.value


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_a_proxy_that_is_down_is_named_with_its_variable_and_without_its_password(
    plain: pytest.MonkeyPatch, dead: str, variable: str
) -> None:
    plain.setenv(variable, f"http://ai:geheim@{dead}")
    error = listed(FAR)
    assert isinstance(error, StoreUnavailable)
    assert f"the proxy http://ai:***@{dead} of {variable} cannot be reached: Connection refused" in error.message
    assert f"correct {variable}, or name storage.example in no_proxy" in error.hint
    assert "geheim" not in error.sentence


def test_a_proxy_before_an_emulator_is_named_too(plain: pytest.MonkeyPatch, dead: str) -> None:
    plain.setenv("http_proxy", f"http://{dead}")
    error = listed("http://127.0.0.1:9")
    assert error is not None
    assert f"the proxy http://{dead} of http_proxy" in error.message
    assert "name 127.0.0.1 in no_proxy" in error.hint


def test_a_host_that_takes_no_proxy_is_asked_without_it(plain: pytest.MonkeyPatch, dead: str) -> None:
    plain.setenv("http_proxy", f"http://{dead}")
    plain.setenv("no_proxy", "127.0.0.1")
    with listening(Empty) as port:
        assert listed(f"http://127.0.0.1:{port}") is None


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4"])
def test_a_socks_proxy_without_pysocks_says_what_to_install(plain: pytest.MonkeyPatch, dead: str, scheme: str) -> None:
    plain.setenv("ALL_PROXY", f"{scheme}://ai:geheim@{dead}")
    error = listed(FAR)
    assert isinstance(error, ConfigError)
    assert f"the proxy {scheme}://ai:***@{dead} of ALL_PROXY is a SOCKS proxy" in error.message
    assert "PySocks" in error.hint
    assert "ALL_PROXY" in error.hint
    assert "geheim" not in error.sentence


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://127.0.0.1:1", "a scheme that is not known"),
        ("http://127.0.0.1:nope", "is not a URL"),
        ("http://127.0.0.1:99999", "is not a URL"),
        ("http://ai:gehe/im@127.0.0.1:1", "is not a URL"),
        ("http://[::1:1", "is not a URL"),
        ("http://", "names no host"),
        ("ai:gehe@127.0.0.1:1", "has no scheme"),
    ],
)
def test_a_proxy_that_is_not_a_url_is_a_wrong_setting(plain: pytest.MonkeyPatch, url: str, said: str) -> None:
    plain.setenv("HTTPS_PROXY", url)
    error = listed(FAR)
    assert isinstance(error, ConfigError)
    assert said in error.message
    assert "HTTPS_PROXY" in error.message
    assert "write HTTPS_PROXY as http://HOST:PORT" in error.hint
    assert "gehe" not in error.sentence


@pytest.mark.parametrize(
    ("status", "kind", "said", "hint"),
    [
        (407, AccessDenied, "asks for a login (407)", "http://USER:PASSWORD@HOST:PORT"),
        (403, AccessDenied, "does not let storage.example through (403)", "have the proxy let storage.example"),
        (502, StoreUnavailable, "does not let storage.example through (502)", "have the proxy let storage.example"),
    ],
)
def test_what_a_proxy_answers_is_told_of_the_proxy(
    plain: pytest.MonkeyPatch, status: int, kind: type[StoreError], said: str, hint: str
) -> None:
    with listening(type("Answering", (Refusing,), {"status": status})) as port:
        plain.setenv("https_proxy", f"http://ai:geheim@127.0.0.1:{port}")
        error = listed(FAR)
        of_records = read_far()
    assert isinstance(error, kind)
    assert isinstance(of_records, kind)
    assert said in error.message
    assert hint in error.hint
    assert f"({status})" in of_records.message
    assert f"the proxy http://ai:***@127.0.0.1:{port} of https_proxy" in of_records.message
    assert "geheim" not in error.sentence + of_records.sentence


def test_a_login_that_a_proxy_asks_for_before_plain_http_is_told_too(plain: pytest.MonkeyPatch) -> None:
    with listening(Refusing) as port:
        plain.setenv("http_proxy", f"http://127.0.0.1:{port}")
        errors = [listed("http://127.0.0.1:9"), read("127.0.0.1:9")]
    for error in errors:
        assert isinstance(error, AccessDenied)
        assert "of http_proxy asks for a login (407)" in error.message


def test_a_proxy_that_is_down_before_the_records_is_named(plain: pytest.MonkeyPatch, dead: str) -> None:
    plain.setenv("http_proxy", f"http://ai:geheim@{dead}")
    plain.setenv("https_proxy", f"http://ai:geheim@{dead}")
    for error, variable in ((read("127.0.0.1:9"), "http_proxy"), (read_far(), "https_proxy")):
        assert f"the proxy http://ai:***@{dead} of {variable} cannot be reached: Connection refused" in error.message
        assert "geheim" not in error.sentence
    plain.setenv("no_proxy", "127.0.0.1")
    assert "proxy" not in read("127.0.0.1:9").message


def test_a_ca_that_is_not_known_is_named_with_the_variables(tls_port: int) -> None:
    error = listed(f"https://localhost:{tls_port}")
    assert isinstance(error, StoreUnavailable)
    assert "the CA of its certificate is not known here: self-signed certificate" in error.message
    assert "REQUESTS_CA_BUNDLE" in error.hint
    assert "SSL_CERT_FILE" in error.hint


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_ca_that_a_variable_names_is_trusted(
    plain: pytest.MonkeyPatch, tls_port: int, certificate: Path, variable: str
) -> None:
    plain.setenv(variable, str(certificate))
    assert listed(f"https://localhost:{tls_port}") is None


def test_a_certificate_for_another_name_is_no_matter_of_the_ca(
    plain: pytest.MonkeyPatch, tls_port: int, certificate: Path
) -> None:
    plain.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    error = listed(f"https://127.0.0.1:{tls_port}")
    assert isinstance(error, StoreUnavailable)
    assert "127.0.0.1" in error.message
    assert "BUNDLE" not in error.hint


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_a_file_of_cas_that_cannot_be_used_is_a_wrong_setting(
    plain: pytest.MonkeyPatch, tls_port: int, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    plain.setenv("REQUESTS_CA_BUNDLE", str(path))
    error = listed(f"https://localhost:{tls_port}")
    assert isinstance(error, ConfigError)
    assert "correct REQUESTS_CA_BUNDLE" in error.hint
    assert str(path) in error.hint


UNTRUSTED = (
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:142.250.0.1:443: Ssl handshake failed"
    " (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED"
)
TOKEN = (
    "Getting metadata from plugin failed with error: HTTPSConnectionPool(host='oauth2.googleapis.com', port=443): Max"
    " retries exceeded with url: /token (Caused by ProxyError('Unable to connect to proxy', NewConnectionError("
    "\"HTTPSConnection(host='127.0.0.1', port=1): Failed to establish a new connection:"
    ' [Errno 111] Connection refused")))'
)


def test_what_grpc_says_of_a_ca_names_its_own_variable() -> None:
    fault = grpc_fault_of(UNTRUSTED, "firestore.googleapis.com")
    assert fault is not None
    assert "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH" in fault.hint


@pytest.mark.parametrize(
    ("variable", "proxy", "said"),
    [
        (
            "HTTPS_PROXY",
            "http://ai:geheim@proxy:3128",
            "does not heed the proxy http://ai:***@proxy:3128 of HTTPS_PROXY",
        ),
        ("all_proxy", "http://proxy:3128", "does not heed the proxy http://proxy:3128 of all_proxy"),
        ("HTTPS_PROXY", "socks5h://proxy:1080", "to an HTTP proxy"),
        ("https_proxy", "http://proxy:3128", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"),
        ("", "", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"),
    ],
)
def test_a_way_that_is_open_to_http_alone_is_told_by_what_grpc_does_not_heed(
    variable: str, proxy: str, said: str, plain: pytest.MonkeyPatch
) -> None:
    if variable:
        plain.setenv(variable, proxy)
    advice = grpc_advice("firestore.googleapis.com")
    assert said in advice
    assert "set https_proxy (in small letters)" in advice
    assert "geheim" not in advice


def test_a_token_that_a_proxy_keeps_from_us_is_no_matter_of_the_login(plain: pytest.MonkeyPatch) -> None:
    plain.setenv("HTTPS_PROXY", "http://ai:geheim@127.0.0.1:1")
    fault = grpc_fault_of(TOKEN, "firestore.googleapis.com")
    assert fault is not None
    assert fault.message == "the proxy http://ai:***@127.0.0.1:1 of HTTPS_PROXY cannot be reached: Connection refused"
    assert "googleapis.com in no_proxy" in fault.hint


def test_a_token_of_the_bucket_that_a_proxy_keeps_from_us_is_no_matter_of_the_login(
    plain: pytest.MonkeyPatch, dead: str
) -> None:
    plain.setenv("https_proxy", f"http://{dead}")
    with pytest.raises(Failed) as caught, lacks():
        Transport(0.3)("https://oauth2.googleapis.com/token")
    error = of_failed(caught.value, "gs://b")
    assert f"the proxy http://{dead} of https_proxy cannot be reached" in error.message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:3128", "http://127.0.0.1:3128"),
        ("http://ai:pass@proxy:3128", "http://ai:***@proxy:3128"),
        ("http://ai:p@ss/w:rd@proxy:3128", "http://ai:***@proxy:3128"),
        ("ai:pass@proxy:3128", "ai:***@proxy:3128"),
        ("http://token@proxy", "http://***@proxy"),
        ("socks5h://ai:@proxy", "socks5h://ai:***@proxy"),
        ("http:ai:pass@proxy", "http:***@proxy"),
    ],
)
def test_a_proxy_is_shown_without_its_password(url: str, shown: str) -> None:
    assert masked(url) == shown
