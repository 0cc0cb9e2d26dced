"""A project folder whose bucket and database are servers, and the program run on it as a process."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconcile.config.settings import template
from reconcile.core.media import content_type
from tests.kit import quick_start
from tests.kit.studio import Studio
from tests.servers.gcs import GcsServer
from tests.servers.gcs_world import Stored

BUCKET = "my-bucket"
PREFIX = "anime_dance"

_LEAN = ("PATH", "HOME", "TMPDIR", "TEMP", "SYSTEMROOT", "PYTHONPATH")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A user's environment, without what a developer's machine adds."""
    kept = {name: os.environ[name] for name in _LEAN if name in os.environ}
    return {**kept, "COLUMNS": "100", "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "error", **(extra or {})}


@dataclass(frozen=True)
class Run:
    """What a run of the program left."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """stdout as the one JSON document that it must be."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Workshop:
    """A project folder; ``firestore`` is the emulator's address."""

    folder: Path
    gcs: GcsServer
    firestore: str
    project: str

    def run(self, *arguments: str, timeout: float = 120, **extra: str) -> Run:
        """Runs ``reconcile ARGUMENTS`` in the folder."""
        return reconcile(self.folder, *arguments, timeout=timeout, **extra)

    def objects(self) -> dict[str, Stored]:
        """The live objects by key."""
        held = self.gcs.world.objects(self.bucket)
        return {name.removeprefix(f"{PREFIX}/"): stored for name, stored in held.items()}

    @property
    def bucket(self) -> str:
        """This project's own bucket on the shared server."""
        return f"{BUCKET}-{self.project}"

    def uri(self, key: str) -> str:
        """The URI of a key."""
        return f"gs://{self.bucket}/{PREFIX}/{key}"

    def collection(self) -> Any:
        """The records, through the real client."""
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import firestore

        os.environ["FIRESTORE_EMULATOR_HOST"] = self.firestore
        try:
            return firestore.Client(project=self.project, credentials=AnonymousCredentials()).collection("characters")
        finally:
            del os.environ["FIRESTORE_EMULATOR_HOST"]

    def records(self) -> dict[str, tuple[dict[str, Any], str]]:
        """Every record with its update time."""
        return {each.id: (each.to_dict(), each.update_time.rfc3339()) for each in self.collection().stream()}


def open_workshop(folder: Path, gcs: GcsServer, firestore: str, *, local_db: bool = True, index: str = "") -> Workshop:
    """An empty project with the rules that ``init`` writes, pointed at the servers. Records have no ``index``, unless
    one is named."""
    shop = Workshop(folder, gcs, firestore, f"p{uuid.uuid4().hex[:12]}")
    gcs.world.make_bucket(shop.bucket)
    text = template().replace("settle = 2.0", "settle = 0")
    text = text.replace("gs://my-bucket/", f"gs://{shop.bucket}/").replace("my-project", shop.project)
    text = text.replace('endpoint = "" ', f'endpoint = "{gcs.url}" ', 1)
    text = text.replace('endpoint = "" ', f'endpoint = "{firestore}" ', 1)
    text = text.replace('index = "asset_types"', f'index = "{index}"')
    if local_db:
        text = text.replace("# [local_db]", "[local_db]").replace("# path =", "path =")
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "asset_map.toml").write_text(text, encoding="utf-8")
    return shop


def furnish(shop: Workshop, studio: Studio) -> None:
    """Puts the studio's objects and records where the project's stores are."""
    for key, data in studio.objects.items():
        shop.gcs.world.insert(shop.bucket, f"{PREFIX}/{key}", data, {"contentType": content_type(key)})
    collection = shop.collection()
    for char_id, fields in studio.records.items():
        collection.document(char_id).set(fields)


def reconcile(folder: Path, *arguments: str, timeout: float = 120, **extra: str) -> Run:
    """Runs ``reconcile ARGUMENTS`` in a folder, as a user would, with nobody at the terminal."""
    code, out, err = quick_start.run("reconcile", arguments, folder, environment(extra), timeout)
    return Run(code, out.decode("utf-8"), err.decode("utf-8"))


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of a project but for what reconcile itself remembers; the embedded stores' own working files count."""
    paths = (path for path in folder.rglob("*") if path.is_file() and ".reconcile" not in path.parts)
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in paths if not path.name.endswith(("-shm", "-wal"))
    }
