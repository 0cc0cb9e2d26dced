"""A small project under attack: the program run on it, forged plans, and where a secret must not be found."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from reconcile.__main__ import main
from reconcile.core.changes import Change
from reconcile.core.plan import Plan, fingerprint
from reconcile.core.planfile import dumps, loads
from tests.kit.small_project import open_objects, open_records
from tests.kit.workshop import Run, environment, snapshot
from tests.servers.faults import FOREVER, Fault
from tests.servers.gcs import GcsServer

__all__ = [
    "SUBJECT",
    "TOKEN",
    "bucket",
    "files",
    "forge",
    "login",
    "records",
    "run",
    "saved_plan",
    "snapshot",
    "with_secret",
]


def run(project: Path, *arguments: str, **extra: str) -> Run:
    """Runs ``reconcile ARGUMENTS`` in the project, in this process, with a user's environment and its own streams."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    before, folder, streams = dict(os.environ), Path.cwd(), (sys.stdout, sys.stderr)
    os.environ.clear()
    os.environ.update(environment(extra))
    os.chdir(project)
    sys.stdout, sys.stderr = out, err
    try:
        code = main(arguments)
    finally:
        sys.stdout, sys.stderr = streams
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(before)
    return Run(code, *(_written(stream) for stream in (out, err)))


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    data = stream.detach().getvalue()  # type: ignore[attr-defined]
    return str(data, "utf-8")


def saved_plan(project: Path) -> Plan:
    """The plan that ``plan --out`` saves to ``plan.json`` in the project."""
    assert run(project, "plan", "--out", "plan.json", "--quiet").code == 0
    return loads((project / "plan.json").read_bytes(), "plan.json")


def forge(project: Path, edit: Callable[[Change], Iterable[Change]]) -> Run:
    """Saves a plan, lets somebody edit each action who knows how a fingerprint is made, and applies it."""
    plan = saved_plan(project)
    actions = tuple(changed for change in plan.actions for changed in edit(change))
    assert actions != plan.actions
    forged = msgspec.structs.replace(plan, actions=actions)
    forged = msgspec.structs.replace(forged, fingerprint=fingerprint(forged))
    (project / "plan.json").write_bytes(dumps(forged))
    return run(project, "apply", "plan.json", "--yes", "--json")


def bucket(project: Path) -> dict[str, bytes]:
    """The bucket's objects by key."""
    store = open_objects(project)
    found = {each.key: b"".join(store.read(each.key)) for each in store.list()}
    store.close()
    return found


def records(project: Path) -> dict[str, Any]:
    """The entries of each record."""
    store = open_records(project)
    found = {each.id: each.fields.get("assets") for each in store.read()}
    store.close()
    return found


def files(folder: Path) -> list[Path]:
    """Every file in a folder, at any depth."""
    return [path for path in folder.rglob("*") if path.is_file()]


def with_secret(folder: Path, secret: str) -> set[str]:
    """The names of the files in a folder in which the secret stands."""
    return {path.name for path in files(folder) if secret.encode() in path.read_bytes()}


TOKEN = "ya29.CANARYTOKEN"
SUBJECT = "CANARYSUBJECT"


def login(folder: Path, server: GcsServer, token: str | None = None) -> Path:
    """Credentials of a machine whose tokens the server gives (``token``), or refuses to give."""
    (folder / "subject").write_text(SUBJECT)
    fields = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/pool",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{server.url}/token",
        "credential_source": {"file": str(folder / "subject")},
    }
    path = folder / "login.json"
    path.write_text(json.dumps(fields), encoding="utf-8")
    if token is not None:
        given = {
            "access_token": token,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": 3600,
        }
        server.script.add(Fault(path="/token", status=200, times=FOREVER, body=json.dumps(given).encode))
    return path
