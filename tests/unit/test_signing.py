"""Signed URLs: made with a key, keyless, for an emulator; and read as a stranger would."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from reconcile import Project
from reconcile.adapters.gcs.signing import Signer
from reconcile.adapters.gcs.url_reader import HttpReader
from reconcile.core.errors import AccessDenied, ConfigError, Rejected, StoreUnavailable, UsageError
from reconcile.core.names import BucketRoot
from reconcile.ports import LONGEST_URL
from tests.kit.small_project import make_project
from tests.servers.faults import FOREVER, Fault
from tests.servers.gcs import GcsServer

ROOT = BucketRoot("my-bucket", "anime_dance")
ACCOUNT = "publisher@my-project.iam.gserviceaccount.com"
KEY = "remixes/a b/[kpop]_é%20#?&=~+.mp4"
NAME = f"anime_dance/{KEY}"


@pytest.fixture
def server() -> Iterator[GcsServer]:
    with GcsServer() as started:
        started.world.make_bucket("my-bucket")
        yield started


@pytest.fixture
def reader() -> Iterator[HttpReader]:
    made = HttpReader(connections=2, deadline=0.5)
    yield made
    made.close()


def query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))


def string_to_sign(url: str) -> bytes:
    """What V4 says is signed, written down from its specification."""
    parts, told = urlsplit(url), query(url)
    del told["X-Goog-Signature"]
    canonical = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(told.items()))
    request = f"GET\n{parts.path}\n{canonical}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    scope = told["X-Goog-Credential"].partition("/")[2]
    digest = hashlib.sha256(request.encode()).hexdigest()
    return f"GOOG4-RSA-SHA256\n{told['X-Goog-Date']}\n{scope}\n{digest}".encode()


# -- making them --


def test_a_service_accounts_own_key_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    told = {"type": "service_account", "client_email": ACCOUNT, "private_key": pem, "private_key_id": "1"}
    (tmp_path / "key.json").write_text(json.dumps({**told, "token_uri": "https://oauth2.googleapis.com/token"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    url = Signer(ROOT).sign(KEY, expires=900)

    assert url.startswith("https://storage.googleapis.com/my-bucket/anime_dance/remixes/a%20b/%5Bkpop%5D_")
    assert (query(url)["X-Goog-Expires"], query(url)["X-Goog-Algorithm"]) == ("900", "GOOG4-RSA-SHA256")
    assert query(url)["X-Goog-Credential"].startswith(f"{ACCOUNT}/{datetime.now(UTC):%Y}")
    signature = bytes.fromhex(query(url)["X-Goog-Signature"])
    key.public_key().verify(signature, string_to_sign(url), padding.PKCS1v15(), hashes.SHA256())


class Account:
    """A keyless service account, as on Cloud Run, and its signing service."""

    def __init__(self, status: int = 200, data: bytes = b"", email: str = ACCOUNT) -> None:
        from google.auth.credentials import Credentials

        class Token(Credentials):
            service_account_email = email

            def refresh(self, request: Any) -> None:
                self.token = "secret-token"

        self.credentials = Token()  # type: ignore[no-untyped-call]
        self.status = status
        self.data = data
        self.asked: list[dict[str, Any]] = []

    def __call__(self, **asked: Any) -> Any:
        self.asked.append(asked)

        class Answer:
            status = self.status
            data = self.data or json.dumps({"signedBlob": base64.b64encode(b"\x01\x02").decode()}).encode()

        return Answer()

    def signer(self) -> Signer:
        return Signer(ROOT, credentials=self.credentials, transport=self)  # type: ignore[arg-type]


def test_without_a_key_the_accounts_signing_service_signs() -> None:
    account = Account()
    url = account.signer().sign(KEY, expires=60)

    (asked,) = account.asked
    assert asked["url"].endswith(f"/serviceAccounts/{ACCOUNT}:signBlob")
    assert "secret-token" in json.dumps(asked["headers"])
    assert base64.b64decode(json.loads(asked["body"])["payload"]) == string_to_sign(url)
    assert query(url)["X-Goog-Signature"] == "0102"
    assert "secret-token" not in url


@pytest.mark.parametrize(
    ("account", "kind"),
    [
        (Account(403, b'{"error": {"status": "PERMISSION_DENIED"}}'), AccessDenied),
        (Account(400, b"what?"), StoreUnavailable),
        (Account(email="default"), AccessDenied),
        (Account(email=""), AccessDenied),
    ],
)
def test_who_cannot_sign_is_told_what_to_do(account: Account, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        account.signer().sign(KEY, expires=60)
    assert caught.value.hint  # type: ignore[attr-defined]
    assert "secret-token" not in str(caught.value)


def test_without_any_credentials_it_is_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "gone.json"))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    with pytest.raises(AccessDenied):
        Signer(ROOT).sign(KEY, expires=60)


def test_credentials_are_for_no_plain_server_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://192.0.2.1:4443")
    with pytest.raises(ConfigError, match="without encryption"):
        Account().signer().sign(KEY, expires=60)


@pytest.mark.parametrize("expires", [0, -1, LONGEST_URL + 1])
def test_a_time_that_no_url_can_have_is_refused(expires: float) -> None:
    with pytest.raises(Rejected, match="cannot be signed"):
        Signer(ROOT, "http://127.0.0.1:1").sign(KEY, expires=expires)


def test_a_name_that_no_bucket_takes_is_refused() -> None:
    with pytest.raises(Rejected):
        Signer(ROOT, "http://127.0.0.1:1").sign("a\nb", expires=60)


def test_a_bucket_in_a_folder_has_no_urls(tmp_path: Path) -> None:
    with Project.open(make_project(tmp_path / "p")).opened() as project, pytest.raises(UsageError, match="no URLs"):
        _ = project.signer


# -- reading them --


def test_an_emulators_url_is_read_by_nothing_but_itself(server: GcsServer, reader: HttpReader) -> None:
    data = bytes(range(256)) * 3000
    server.world.insert("my-bucket", NAME, data, {"contentType": "video/mp4"})
    url = Signer(ROOT, server.url).sign(KEY, expires=60)
    with reader.fetch(url) as served:
        assert (served.status, served.content_type, b"".join(served.body)) == (200, "video/mp4", data)
    with reader.fetch(url, limit=10) as served:
        assert (served.status, b"".join(served.body)) == (206, data[:10])

    for call in server.script.calls():
        assert (call.key, call.path) == (NAME, urlsplit(url).path)
        assert not {"authorization", "cookie"} & set(call.headers)


def test_a_url_that_has_expired_is_refused(server: GcsServer, reader: HttpReader) -> None:
    server.world.insert("my-bucket", NAME, b"x", {})
    url = Signer(ROOT, server.url).sign(KEY, expires=60)
    for changed in (url.replace("X-Goog-Date=2", "X-Goog-Date=1"), url.partition("&X-Goog-Signature")[0]):
        with reader.fetch(changed) as served:
            assert served.status == 400


def test_what_is_not_there_is_an_answer(server: GcsServer, reader: HttpReader) -> None:
    with reader.fetch(Signer(ROOT, server.url).sign("gone", expires=60)) as served:
        assert served.status == 404


def test_a_passing_failure_is_asked_again(server: GcsServer, reader: HttpReader) -> None:
    server.world.insert("my-bucket", NAME, b"x", {})
    server.script.add(Fault(status=503, times=1))
    server.script.add(Fault(reset=True, times=1))
    with reader.fetch(Signer(ROOT, server.url).sign(KEY, expires=60)) as served:
        assert (served.status, b"".join(served.body)) == (200, b"x")


@pytest.mark.parametrize("fault", [Fault(status=503, times=FOREVER), Fault(reset=True, times=FOREVER), None])
def test_no_message_holds_the_url(server: GcsServer, reader: HttpReader, fault: Fault | None) -> None:
    where = server.url
    if fault is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            where = f"http://127.0.0.1:{free.getsockname()[1]}"
    else:
        server.script.add(fault)
    with pytest.raises(StoreUnavailable) as caught, reader.fetch(Signer(ROOT, where).sign(KEY, expires=60)):
        pass
    assert where in str(caught.value)
    assert "Signature" not in caught.value.sentence
    assert "kpop" not in caught.value.sentence


def test_a_body_that_breaks_is_told(server: GcsServer, reader: HttpReader) -> None:
    server.world.insert("my-bucket", NAME, b"x" * 1000, {})
    server.script.add(Fault(cut=10))
    with reader.fetch(Signer(ROOT, server.url).sign(KEY, expires=60)) as served, pytest.raises(StoreUnavailable):
        b"".join(served.body)
