"""Tokens, keys and upload sessions stand in nothing that is printed, logged or saved, but where they must."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconcile.core.shown_url import shown_url
from tests.kit.small_project import make_project, write
from tests.kit.workshop import Run
from tests.security.attack import SUBJECT, TOKEN, bucket, login, run, snapshot, with_secret
from tests.servers.faults import FOREVER, Fault
from tests.servers.gcs import GcsServer

LARGE = 9 * 1024 * 1024
LOUD = ("apply", "--yes", "--json", "-vv", "--bucket-endpoint", "")


@pytest.fixture
def server() -> Iterator[GcsServer]:
    with GcsServer() as made:
        made.world.make_bucket("my-bucket")
        yield made


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Its bucket is at Google, as far as the client knows, and its login is a machine's."""
    folder = make_project(tmp_path / "studio")
    write(folder, "characters/large.png", b"x" * LARGE)
    return folder


def at_google(project: Path, server: GcsServer, *arguments: str, token: str | None = TOKEN, **extra: str) -> Run:
    key = login(project.parent, server, token)
    names = {"GOOGLE_APPLICATION_CREDENTIALS": str(key), "API_ENDPOINT_OVERRIDE": server.url}
    return run(project, *arguments, **{**names, **extra})


def assert_silent(project: Path, done: Run, *secrets: str) -> None:
    for secret in secrets:
        assert secret not in done.out + done.err
        assert with_secret(project, secret) == set()


@pytest.mark.parametrize("logs", [(), ("--log-format", "json")])
@pytest.mark.parametrize(
    "fault",
    [
        None,
        Fault(method="GET", status=401, times=FOREVER),
        Fault(method="GET", status=403, times=FOREVER),
        Fault(method="GET", status=302, times=FOREVER, headers={"Location": "http://127.0.0.1:1/"}),
        Fault(method="GET", status=200, times=FOREVER, body=lambda: b"<html>not a listing"),
        Fault(method="POST", status=403, times=FOREVER),
        Fault(method="PUT", status=400, times=FOREVER),
    ],
    ids=["no fault", "401", "403", "302", "nonsense", "uploads denied", "chunks refused"],
)
def test_a_token_is_in_no_output_log_or_file(
    project: Path, server: GcsServer, fault: Fault | None, logs: tuple[str, ...]
) -> None:
    key = login(project.parent, server, TOKEN)
    if fault is not None:
        server.script.add(Fault(**{**vars(fault), "hits": 0}))
    done = run(project, *LOUD, *logs, GOOGLE_APPLICATION_CREDENTIALS=str(key), API_ENDPOINT_OVERRIDE=server.url)
    used = [call for call in server.script.calls() if call.headers.get("authorization") == f"Bearer {TOKEN}"]
    assert used, "the token was really sent"
    assert "/storage/v1/b/my-bucket/o" in done.err, "the requests were really shown"
    assert (done.code == 0) is (fault is None)
    assert_silent(project, done, TOKEN, SUBJECT)


def test_a_login_that_fails_tells_none_of_it(project: Path, server: GcsServer) -> None:
    done = at_google(project, server, *LOUD, token=None)
    assert done.code == 1
    assert server.script.calls(path="/token")
    assert_silent(project, done, SUBJECT)


@pytest.mark.parametrize(
    "key",
    [
        {"type": "service_account", "private_key": "CANARYKEY"},
        {
            "type": "service_account",
            "client_email": "x@y.example",
            "token_uri": "https://127.0.0.1:1/",
            "private_key": "-----BEGIN PRIVATE KEY-----\nCANARYKEY\n-----END PRIVATE KEY-----\n",
        },
        {"type": "authorized_user", "client_id": "c", "client_secret": "CANARYKEY"},
        {"type": "CANARYLESS", "private_key": "CANARYKEY"},
    ],
    ids=["half a key", "a key that is none", "half a user", "of no kind"],
)
def test_a_broken_key_file_is_not_quoted(project: Path, server: GcsServer, key: dict[str, str]) -> None:
    path = project.parent / "key.json"
    path.write_text(json.dumps(key), encoding="utf-8")
    done = run(project, *LOUD, GOOGLE_APPLICATION_CREDENTIALS=str(path), API_ENDPOINT_OVERRIDE=server.url)
    assert done.code in (1, 78)
    assert "this is a bug" not in done.err
    assert_silent(project, done, "CANARYKEY")


def test_an_upload_session_is_kept_in_one_private_file_and_told_nowhere(project: Path, server: GcsServer) -> None:
    server.script.add(Fault(method="PUT", status=403, times=FOREVER))
    done = at_google(project, server, *LOUD, "--log-format", "json")
    [session] = server.world.session_ids()
    assert done.code == 1
    assert "upload_id=***" in done.err
    assert session not in done.out + done.err
    assert with_secret(project, session) == {"state.db"}
    assert not (project / ".reconcile" / "state.db").stat().st_mode & 0o077


@pytest.mark.parametrize(
    "url",
    [
        "https://storage.googleapis.com/b/rem.png?X-Goog-Algorithm=GOOG4&X-Goog-Signature=SECRET&X-Goog-Date=1",
        "https://storage.googleapis.com/b/rem.png?GoogleAccessId=me&Expires=1&Signature=SECRET",
        "https://storage.googleapis.com/upload/storage/v1/b/b/o?uploadType=resumable&upload_id=SECRET",
        "https://storage.googleapis.com/upload/storage/v1/b/b/o?uploadType=resumable&UPLOAD_ID=SECRET",
        "https://gateway.example/sessions/SECRET",
        "https://me:SECRET@gateway.example/storage/v1/b/b/o?prefix=a",
        "https://firestore.googleapis.com/v1/projects/p:runQuery?access_token=SECRET&key=SECRET",
        "https://storage.googleapis.com/storage/v1/b/b/o?pageToken=SECRET&prefix=characters/",
        "https://storage.googleapis.com/storage/v1/b/b/o/a/rewriteTo/b/b/o/b?rewriteToken=SECRET",
        "https://storage.googleapis.com/storage/v1/b/b/o?;SECRET=&prefix;=SECRET",
        "https://storage.googleapis.com/storage/v1/b/b/o?SECRET",
        "https://storage.googleapis.com/storage/v1/b/b/o?prefix=a#SECRET",
        "https://[SECRET/",
    ],
)
def test_no_request_is_shown_with_what_would_let_its_reader_in(url: str) -> None:
    shown = shown_url(url)
    assert "SECRET" not in shown
    assert shown.startswith(("https://", "***"))


def elsewhere(other: GcsServer) -> dict[str, str]:
    return {"Location": f"{other.url}/storage/v1/b/my-bucket/o"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_redirect_is_not_followed(project: Path, server: GcsServer, status: int, method: str) -> None:
    with GcsServer() as other:
        other.world.make_bucket("my-bucket")
        server.script.add(Fault(method=method, path="/storage", status=status, times=FOREVER, headers=elsewhere(other)))
        done = at_google(project, server, *LOUD)
        calls = other.script.calls()
    assert done.code == 1
    assert calls == []
    assert_silent(project, done, TOKEN)


def test_a_password_in_netrc_is_not_sent(project: Path, server: GcsServer, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password CANARYPASSWORD\n")
    netrc.chmod(0o600)
    done = at_google(project, server, *LOUD, NETRC=str(netrc), HOME=str(tmp_path))
    assert done.code == 0
    sent = {call.headers.get("authorization") for call in server.script.calls(path="/storage")}
    assert sent == {f"Bearer {TOKEN}"}
    assert bucket(project) != {}


def listing(*names: str) -> Callable[[], bytes]:
    items = [{"name": name, "size": "1", "generation": "1", "crc32c": "AAAAAA=="} for name in names]
    return lambda: json.dumps({"items": items}).encode()


@pytest.mark.parametrize("name", ["other/evil.png", "anime_dance_2/x.png", "../x", "/etc/passwd", ""])
def test_a_listing_of_names_that_were_not_asked_for_is_an_error(project: Path, server: GcsServer, name: str) -> None:
    login(project.parent, server, TOKEN)
    server.script.add(Fault(method="GET", path="/o", status=200, times=FOREVER, body=listing(name)))
    done = at_google(project, server, "plan", "--json", "--bucket-endpoint", "")
    assert done.code == 1
    assert ("was not requested" if name else "does not answer as GCS does") in done.document["message"]


def test_objects_whose_names_climb_out_touch_nothing_local(project: Path, server: GcsServer) -> None:
    names = [f"anime_dance/{name}" for name in ("../../x.png", "/etc/x.png", "a/../../rem.png", "a//b.png")]
    login(project.parent, server, TOKEN)
    # The listing is asked for in ranges; these names are in the first.
    fault = Fault(method="GET", path="/o", status=200, body=listing(*sorted(names)), times=FOREVER)
    fault.when = lambda call: "startOffset" not in call.query
    server.script.add(fault)
    before = snapshot(project.parent)
    done = at_google(project, server, "plan", "--json", "--bucket-endpoint", "")
    assert done.code == 0
    assert {each["code"] for each in done.document["findings"]} >= {"orphan_object"}
    assert snapshot(project.parent) == before
