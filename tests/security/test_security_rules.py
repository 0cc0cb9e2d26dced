"""Whoever edits the rules, the environment or the flags: refused with a sentence, and nothing is sent in clear."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from reconcile.config.environment import RULES
from reconcile.config.settings import RecordsUri
from reconcile.core.names import BucketRoot
from tests.kit.small_project import make_project
from tests.security.attack import login, run
from tests.servers.gcs import GcsServer

ELSEWHERE = "http://gcs.example:4443"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "studio")


def edit(project: Path, pattern: str, line: str) -> None:
    path = project / RULES
    text = path.read_text(encoding="utf-8")
    changed = re.sub(f"(?m)^(?:# )?{pattern} = .*", lambda _: line, text, count=1)
    assert changed != text
    path.write_text(changed, encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("settle", "settle = 1e999"),
        ("settle", "settle = nan"),
        ("settle", "settle = " + "9" * 5000),
        ("settle", "settle = 0x" + "f" * 5000),
        ("max_replace", "max_replace = 0x" + "f" * 5000),
        ("max_replace", 'max_replace = "' + "9" * 400 + '"'),
        ("label", "label = 0x" + "f" * 5000),
        ("path", 'path = "../../etc/{x}"'),
        ("path", 'path = "/etc/{x}"'),
        ("path", 'path = "a/../../{x}"'),
        ("path", "path = 'a\\..\\{x}'"),
        ("path", "path = " + "[" * 20_000 + "]" * 20_000),
        ("uri", 'uri = "gs://../x"'),
        ("uri", 'uri = "gs://b/../x"'),
        ("path", 'path = "{char_id}.png"\nobject = "../{char_id}.png"'),
    ],
)
def test_rules_that_climb_out_or_are_absurd_are_refused_with_a_sentence(project: Path, key: str, line: str) -> None:
    edit(project, key, line)
    done = run(project, "plan", "--json")
    assert done.code == 78
    assert done.document["code"] == "config"
    assert str(RULES) in done.document["message"]


@pytest.mark.parametrize("uri", ["gs://..", "gs://../x", "gs://.", r"gs://a\..\b/x"])
def test_a_bucket_is_no_way_out_of_a_folder(uri: str) -> None:
    with pytest.raises(ValueError, match="is not gs://BUCKET/PREFIX"):
        BucketRoot.parse(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "firestore://../d/c",
        "firestore://p/../c",
        "firestore://p/d/..",
        "firestore://p/d/a/../c",
        r"firestore://p/a\b/c",
    ],
)
def test_a_database_is_no_way_out_of_a_folder(uri: str) -> None:
    with pytest.raises(ValueError, match="is not firestore://"):
        RecordsUri.parse(uri)


@pytest.mark.parametrize("how", ["rules", "environment", "flag"])
@pytest.mark.parametrize(
    ("store", "endpoint"),
    [
        ("bucket", ELSEWHERE),
        ("bucket", "http://10.0.0.7"),
        ("bucket", "http://127.0.0.1@gcs.example"),
        ("records", "firestore.example:8080"),
        ("records", "10.0.0.7:8080"),
    ],
)
def test_an_endpoint_in_clear_on_another_machine_is_refused(project: Path, how: str, store: str, endpoint: str) -> None:
    extra, flags = {}, []
    if how == "rules":
        path = project / RULES
        head, table, rest = path.read_text(encoding="utf-8").partition(f"[{store}]")
        rest = re.sub("(?m)^endpoint = .*", f'endpoint = "{endpoint}"', rest, count=1)
        path.write_text(head + table + rest, encoding="utf-8")
    elif how == "environment":
        extra[f"RECONCILE_{store.upper()}_ENDPOINT"] = endpoint
    else:
        flags = [f"--{store}-endpoint", endpoint]
    done = run(project, "plan", "--json", *flags, **extra)
    assert done.code == 78
    assert endpoint in done.document["message"]


@pytest.mark.skipif(sys.platform != "linux", reason="0.0.0.0 leads to this machine on Linux")
def test_an_emulator_that_the_environment_names_gets_no_credentials(project: Path, tmp_path: Path) -> None:
    """0.0.0.0 is not this machine by its name; the server that answers there is ours, and sees no token."""
    with GcsServer() as server:
        server.world.make_bucket("my-bucket")
        done = run(
            project,
            *("plan", "--json", "--bucket-endpoint", ""),
            STORAGE_EMULATOR_HOST=server.url.replace("127.0.0.1", "0.0.0.0"),
            GOOGLE_APPLICATION_CREDENTIALS=str(login(tmp_path, server)),
        )
        calls = server.script.calls()
    assert done.code == 0
    assert calls
    assert [call.path for call in calls if "authorization" in call.headers or call.path == "/token"] == []
