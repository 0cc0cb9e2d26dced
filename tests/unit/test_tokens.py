"""Where tokens come from: each kind of credentials against a fake of its server, and never ``requests`` for it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

HOSTS = ("oauth2.googleapis.com", "iamcredentials.googleapis.com", "storage.googleapis.com",
         "storage.mtls.googleapis.com", "firestore.mtls.googleapis.com")  # fmt: skip
ACCOUNT = "robot@p.iam.gserviceaccount.com"
PROGRAM = """
import sys
from reconcile.adapters.gcs.store import GcsObjectStore
from reconcile.core.errors import ReconcileError
with GcsObjectStore("b", "", "", deadline=2) as store:
    try:
        print(store.get("x"))
    except ReconcileError as error:
        print(type(error).__name__, error.message, error.hint)
heavy = ("requests", "urllib3", "grpc", "google.cloud", "google.api_core", "google.protobuf")
print(sorted(name for name in heavy if name in sys.modules))
"""


class Google(BaseHTTPRequestHandler):
    """All of Google that matters here: tokens, which are numbered, and a bucket without objects."""

    protocol_version = "HTTP/1.1"
    taken: Callable[[str], bool]
    asked: list[tuple[str, str, str]]
    tokens: list[str]
    broken: bool
    secure: int
    shown: list[str]
    odd = ""
    denies = False

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        path = self.path.partition("?")[0]
        self.asked.append((path, body, self.headers.get("Authorization", "")))
        if isinstance(self.connection, ssl.SSLSocket) and self.connection.getpeercert():
            self.shown.append(self.headers["Host"])
        if path.endswith(":runQuery"):
            self._say(200, [])
        elif path.startswith("/storage/"):
            known = type(self).taken(self.headers.get("Authorization", ""))
            self._say(404 if known else 401, {"error": {"message": "no such object" if known else "who are you"}})
        elif self.broken and "oken" in path:
            self._say(400, {"error": "invalid_grant", "error_description": "the account is gone"})
        elif path.endswith(":generateAccessToken"):
            self._say(200, {"accessToken": self._token(), "expireTime": "2099-01-01T00:00:00Z"})
        elif path.endswith(":signBlob") and self.denies:
            message = "Permission 'iam.serviceAccounts.signBlob' denied on resource (or it may not exist)."
            self._say(403, {"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}})
        elif path.endswith(":signBlob"):
            payload = base64.b64decode(json.loads(body)["payload"])
            self._say(200, {"keyId": "k", "signedBlob": base64.b64encode(hashlib.sha256(payload).digest()).decode()})
        elif path.endswith("/token"):
            kind = "urn:ietf:params:oauth:token-type:access_token"
            token = {"access_token": self._token(), "expires_in": 3600, "token_type": "Bearer"}
            self._say(200, {**token, "issued_token_type": kind})
        elif path.endswith("/universe-domain"):
            self._say(200, "googleapis.com")
        elif path.startswith("/computeMetadata/v1/instance/service-accounts/"):
            self._say(200, {"email": ACCOUNT, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]})
        else:
            self._say(200 if path == "/" else 404, {})

    def do_POST(self) -> None:
        self.do_GET()

    def do_CONNECT(self) -> None:
        """Leads every name to the encrypted side of this server."""
        self.send_response(200)
        self.end_headers()
        with socket.create_connection(("127.0.0.1", self.secure)) as there:
            back = threading.Thread(target=copied, args=(there, self.connection), daemon=True)
            back.start()
            copied(self.connection, there)
            back.join()
        self.close_connection = True

    def _token(self) -> str:
        self.tokens.append(f"t{len(self.tokens) + 1}{self.odd}")
        return self.tokens[-1]

    def _say(self, status: int, said: Any) -> None:
        data = (said if isinstance(said, str) else json.dumps(said)).encode()
        self.send_response(status)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", "text/plain" if isinstance(said, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def copied(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(64 * 1024):
            sink.sendall(data)
    for each in (source, sink):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(path.with_name("key.pem")), "-days", "2"]
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    subject = ["-subj", "/CN=google", "-addext", f"subjectAltName={names}"]
    subprocess.run(["openssl", "req", "-x509", *key, *subject, "-out", str(path)], check=True, capture_output=True)
    return path


class World:
    """The fake of Google, and runs of a program under it."""

    def __init__(self, folder: Path, certificate: Path) -> None:
        self.folder = folder
        self._certificate = certificate
        self.handler = type(
            "Handler",
            (Google,),
            {"taken": staticmethod(lambda given: bool(given)), "asked": [], "tokens": [], "broken": False, "shown": []},
        )
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), self.handler) for _ in range(2)]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_name("key.pem"))
        context.load_verify_locations(certificate)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._servers[1].socket = context.wrap_socket(self._servers[1].socket, server_side=True)
        self.port, self.handler.secure = (server.server_address[1] for server in self._servers)
        for server in self._servers:
            server.daemon_threads = True
            server.handle_error = lambda *_: None  # type: ignore[method-assign]
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, credentials: dict[str, Any] | None, program: str = PROGRAM, **environment: str) -> list[str]:
        """What the program says with these credentials, or on a machine of Google's without any."""
        env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        env.pop("STORAGE_EMULATOR_HOST", None)
        env.pop("FIRESTORE_EMULATOR_HOST", None)
        env.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
        if credentials is not None:
            path = self.folder / "credentials.json"
            path.write_text(json.dumps(credentials))
            env["GOOGLE_APPLICATION_CREDENTIALS"] = str(path)
        env |= {
            "API_ENDPOINT_OVERRIDE": self.url,
            "https_proxy": self.url,
            "no_proxy": "127.0.0.1",
            "REQUESTS_CA_BUNDLE": str(self._certificate),
            "CLOUDSDK_CONFIG": str(self.folder / "nothing"),
            "GCE_METADATA_HOST": f"127.0.0.1:{self.port}",
            "GCE_METADATA_IP": f"127.0.0.1:{self.port}",
            "PYTHONWARNINGS": "ignore",
            **environment,
        }
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture
def world(tmp_path: Path, certificate: Path) -> Iterator[World]:
    made = World(tmp_path, certificate)
    yield made
    made.close()


def user(world: World) -> dict[str, Any]:
    return {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r",
            "quota_project_id": "charged"}  # fmt: skip


def service_account(world: World) -> dict[str, Any]:
    key = subprocess.run(["openssl", "genrsa", "2048"], check=True, capture_output=True, text=True).stdout
    return {"type": "service_account", "client_email": ACCOUNT, "private_key": key, "private_key_id": "k",
            "project_id": "p", "token_uri": f"{world.url}/token"}  # fmt: skip


def external(world: World) -> dict[str, Any]:
    (world.folder / "subject").write_text("subject token")
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/p",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{world.url}/token",
        "credential_source": {"file": str(world.folder / "subject")},
    }


def impersonated(world: World) -> dict[str, Any]:
    return {
        "type": "impersonated_service_account",
        "service_account_impersonation_url":
            f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken",
        "source_credentials": user(world),
    }  # fmt: skip


def machine(world: World) -> None:
    return None


KINDS = [user, service_account, external, impersonated, machine]
IMPORTS = {machine: "['requests', 'urllib3']"}
"""What ``google.auth`` itself imports for a kind."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_token_of_each_kind_of_credentials_opens_the_bucket(world: World, kind: Callable[[World], Any]) -> None:
    assert world.run(kind(world)) == ["None", IMPORTS.get(kind, "[]")]
    [(_, _, header)] = [each for each in world.handler.asked if each[0].startswith("/storage/")]
    assert header == f"Bearer {world.handler.tokens[-1]}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_token_that_the_bucket_does_not_take_is_renewed_once(world: World, kind: Callable[[World], Any]) -> None:
    refused: list[str] = []

    def taken(header: str) -> bool:
        refused.append(header)
        return header != refused[0]

    world.handler.taken = staticmethod(taken)
    assert world.run(kind(world)) == ["None", IMPORTS.get(kind, "[]")]
    assert len(refused) == 2


def test_a_token_that_is_never_taken_is_not_renewed_for_ever(world: World) -> None:
    world.handler.taken = staticmethod(lambda _: False)
    said, imported = world.run(user(world))
    assert said.startswith("AccessDenied gs://b at")
    assert "answered 401 (who are you)" in said
    assert len([each for each in world.handler.asked if each[0].startswith("/storage/")]) == 3
    assert imported == "[]"


@pytest.mark.parametrize("kind", KINDS[:4], ids=lambda kind: kind.__name__)
def test_credentials_that_are_refused_say_how_to_log_in(world: World, kind: Callable[[World], Any]) -> None:
    world.handler.broken = True
    said, imported = world.run(kind(world))
    assert said.startswith("AccessDenied there are no valid credentials for gs://b at")
    assert "gcloud auth application-default login" in said
    assert not [each for each in world.handler.asked if each[0].startswith("/storage/")]
    assert imported == "[]"


def test_a_token_that_no_header_can_hold_is_not_repeated(world: World) -> None:
    world.handler.odd = "\nx"
    said, _ = world.run(user(world))
    assert said.startswith("StoreUnavailable gs://b at")
    assert "a token holds characters that no header has" in said
    assert "t1" not in said


def test_without_any_credentials_it_says_how_to_log_in(world: World) -> None:
    said, imported = world.run(None, NO_GCE_CHECK="true")
    assert said.startswith("AccessDenied there are no valid credentials for gs://b at")
    assert "gcloud auth application-default login" in said
    assert imported == "[]"


def test_a_server_of_tokens_that_is_down_is_told_by_its_name(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    said, imported = world.run({**service_account(world), "token_uri": f"http://127.0.0.1:{port}/token"})
    assert said.startswith("Transient no credentials could be fetched for gs://b at")
    assert "Connection refused" in said
    assert imported == "[]"


def test_a_proxy_before_the_server_of_tokens_is_named(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    said, _ = world.run(user(world), https_proxy=f"http://ai:geheim@127.0.0.1:{port}")
    assert f"the proxy http://ai:***@127.0.0.1:{port} of https_proxy cannot be reached" in said
    assert "geheim" not in said


def test_credentials_of_another_universe_are_not_sent_to_google(world: World) -> None:
    said, _ = world.run({**service_account(world), "universe_domain": "other.example"})
    assert said.startswith("ConfigError the credentials for gs://b at")
    assert "other.example" in said
    assert world.handler.asked == []


RECORDS = """
from reconcile.adapters.firestore.store import FirestoreRecordStore
store = FirestoreRecordStore.open("p", "(default)", "c", "")
print(list(store.ids()))
store.close()
"""


@pytest.mark.parametrize("when", ["auto", "never", "always"])
def test_the_certificate_of_the_device_is_shown_if_the_environment_asks_for_it(
    world: World, certificate: Path, when: str
) -> None:
    pair = {"cert_path": str(certificate), "key_path": str(certificate.with_name("key.pem"))}
    config = world.folder / "certificate_config.json"
    config.write_text(json.dumps({"cert_configs": {"workload": pair}}))
    said = world.run(
        user(world),
        PROGRAM + RECORDS * (when != "never"),
        API_ENDPOINT_OVERRIDE="",
        GOOGLE_API_USE_CLIENT_CERTIFICATE="true",
        GOOGLE_API_CERTIFICATE_CONFIG=str(config),
        GOOGLE_API_USE_MTLS_ENDPOINT=when,
    )
    assert said == (["None", "[]"] if when == "never" else ["None", "[]", "[]"])
    own = ["storage.mtls.googleapis.com", "firestore.mtls.googleapis.com"]
    assert world.handler.shown == (["storage.googleapis.com"] if when == "never" else own)


def test_a_certificate_of_the_device_that_cannot_be_read_is_told(world: World) -> None:
    pair = {"cert_path": str(world.folder / "none.pem"), "key_path": str(world.folder / "none.key")}
    config = world.folder / "certificate_config.json"
    config.write_text(json.dumps({"cert_configs": {"workload": pair}}))
    said, _ = world.run(
        user(world),
        API_ENDPOINT_OVERRIDE="",
        GOOGLE_API_USE_CLIENT_CERTIFICATE="true",
        GOOGLE_API_CERTIFICATE_CONFIG=str(config),
    )
    assert said.startswith("AccessDenied there are no valid credentials for gs://b at")
    assert "the certificate of this device cannot be read: No such file or directory" in said
