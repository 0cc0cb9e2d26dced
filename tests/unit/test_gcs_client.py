"""How the bucket is reached: endpoints, credentials, the late import, and foreign exceptions that become ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import google.auth.exceptions
import pytest

from reconcile.adapters.gcs.failures import Doubt, Transient, of_failed
from reconcile.adapters.gcs.http import checked_endpoint
from reconcile.adapters.gcs.store import GcsObjectStore
from reconcile.adapters.lean_http import Failed, FailureKind
from reconcile.adapters.tokens import lacks
from reconcile.core.errors import AccessDenied, ConfigError, ReconcileError, StoreUnavailable
from tests.servers.gcs import GcsServer


@pytest.mark.parametrize("kind", list(FailureKind))
def test_each_way_to_fail_is_an_error_of_ours(kind: FailureKind) -> None:
    ours = of_failed(Failed(kind, "so it went"), "gs://b")
    assert isinstance(ours, ReconcileError)
    assert "gs://b" in ours.message
    assert "so it went" in ours.message
    assert ours.hint


@pytest.mark.parametrize(
    ("foreign", "kind"),
    [
        (google.auth.exceptions.DefaultCredentialsError("none found"), AccessDenied),
        (google.auth.exceptions.RefreshError("expired"), AccessDenied),
        (google.auth.exceptions.RefreshError("again", retryable=True), Transient),
        (google.auth.exceptions.TransportError("no metadata server"), Transient),
        (OSError("no certificate bundle"), Transient),
        (KeyError("access_token"), StoreUnavailable),
    ],
)
def test_what_is_raised_for_want_of_a_token_is_an_error_of_ours(foreign: Exception, kind: type[ReconcileError]) -> None:
    with pytest.raises(Failed) as caught, lacks():
        raise foreign
    ours = of_failed(caught.value, "gs://b")
    assert type(ours) is kind
    assert "gs://b" in ours.message
    assert ours.hint


def test_a_lost_answer_leaves_a_doubt_and_a_refused_connection_none() -> None:
    lost = of_failed(Failed(FailureKind.SILENT, "reset"), "gs://b")
    never = of_failed(Failed(FailureKind.SLOW, "timed out", reached=False), "gs://b")
    assert isinstance(lost, Transient)
    assert isinstance(never, Transient)
    assert (lost.doubt, lost.reached) == (Doubt.LOST, True)
    assert (never.doubt, never.reached) == (Doubt.NONE, False)


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "http://127.0.0.1:4443",
        "http://127.0.0.2:1",
        "http://localhost:9023",
        "http://[::1]:80",
        "https://gcs.example",
    ],
)
def test_endpoints_that_are_used(endpoint: str) -> None:
    assert checked_endpoint(endpoint) == endpoint
    assert checked_endpoint(f"{endpoint}/" if endpoint else "") == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "127.0.0.1:4443",
        "localhost:4443",
        "http://",
        "ftp://127.0.0.1",
        "http://gcs.example:4443",
        "http://10.0.0.7",
        "http://localhost.example",
        "http://127.0.0.1@gcs.example",
        "http://127.gcs.example",
    ],
)
def test_endpoints_that_are_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        GcsObjectStore("b", "", endpoint)
    assert endpoint in caught.value.message
    assert caught.value.hint


def test_another_server_gets_no_credentials(
    gcs_server: GcsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", credentials_file(tmp_path, gcs_server))
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    gcs_server.world.make_bucket("door")
    with GcsObjectStore("door", "", gcs_server.url) as store:
        assert store.get("anonymous") is None
    [call] = gcs_server.script.calls(key="anonymous")
    assert "authorization" not in call.headers


def test_the_emulator_variable_of_googles_client_counts(gcs_server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
    gcs_server.world.make_bucket("door")
    with GcsObjectStore("door", "", "") as store:
        assert store.get("by-variable") is None
    assert len(gcs_server.script.calls(key="by-variable")) == 1


def test_an_emulator_variable_without_a_scheme_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "127.0.0.1:4443")
    with GcsObjectStore("door", "", "") as store, pytest.raises(ConfigError) as caught:
        store.get("a")
    assert caught.value.hint == "write http://127.0.0.1:4443"


def credentials_file(folder: Path, server: GcsServer) -> str:
    """A machine's credentials, whose tokens would come from the server, which gives none."""
    (folder / "subject").write_text("subject token")
    path = folder / "credentials.json"
    fields = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/p",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{server.url}/token",
        "credential_source": {"file": str(folder / "subject")},
    }
    path.write_text(json.dumps(fields))
    return str(path)


def test_credentials_that_give_no_token_say_how_to_log_in(
    gcs_server: GcsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("API_ENDPOINT_OVERRIDE", gcs_server.url)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", credentials_file(tmp_path, gcs_server))
    with GcsObjectStore("door", "", "") as store, pytest.raises(AccessDenied) as caught:
        store.get("expired")
    assert "gcloud auth application-default login" in caught.value.hint
    assert gcs_server.script.calls(key="expired") == []
    assert gcs_server.script.calls(path="/token")


def test_credentials_are_not_sent_in_clear_to_another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "user.json").write_text(
        json.dumps({"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"})
    )
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("API_ENDPOINT_OVERRIDE", "http://gcs.example")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "user.json"))
    with GcsObjectStore("door", "", "") as store, pytest.raises(ConfigError, match=r"http://gcs\.example"):
        store.get("a")


def test_without_credentials_it_says_how_to_log_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    with GcsObjectStore("door", "", "") as store, pytest.raises(AccessDenied) as caught:
        store.get("a")
    assert "gcloud auth application-default login" in caught.value.hint


def test_opening_a_store_imports_no_client() -> None:
    code = (
        "import sys; from reconcile.adapters.gcs.store import GcsObjectStore;"
        "GcsObjectStore('b', 'p', '');"
        "sys.exit(any(name.split('.')[0] in ('google', 'requests', 'urllib3') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
