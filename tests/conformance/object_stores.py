"""The object stores that the one suite runs on: how each is made, and what it is known not to do."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from reconcile.adapters.gcs.store import GcsObjectStore
from reconcile.ports import ObjectStore
from tests.kit.embedded import EmbeddedBucket
from tests.kit.windows import rules
from tests.servers.clock import SkippingClock
from tests.servers.fake_gcs import FakeGcsServer
from tests.servers.gcs import GcsServer

PREFIX = "anime_dance"
SAID = ("cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "customTime", "metadata")
"""What people say of an object, by the names of the JSON API."""


class Needs(Enum):
    """What a test needs beyond the common ground, where a store or an emulator is known to lack it."""

    RESUMABLE = "preconditions hold for resumable uploads"
    GENERATION_READS = "reads are held to a generation"
    METADATA = "metadata can be set, and stays"
    SHARED = "two stores see one bucket"


@dataclass(frozen=True)
class Maker:
    """Makes a store of a fresh bucket; the argument is the prefix. ``say`` is somebody else's hand, which sets metadata
    of an object of such a store, and gives all that is set then. ``lacks`` is what its server does not do."""

    open: Callable[[str], ObjectStore]
    say: Callable[[Any, str, dict[str, Any]], dict[str, Any]]
    lacks: frozenset[Needs] = frozenset()


# fake-gcs-server 1.54.0 drops the preconditions of resumable uploads, and the generation of reads.
REFEREE_LACKS = frozenset({Needs.RESUMABLE, Needs.GENERATION_READS, Needs.METADATA})

_buckets = itertools.count(1)


def make_bucket(url: str) -> str:
    """A new bucket on a server."""
    name = f"bucket-{next(_buckets)}"
    body = json.dumps({"name": name}).encode()
    request = Request(f"{url}/storage/v1/b?project=p", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=10):
        return name


def _say(store: EmbeddedBucket, key: str, said: dict[str, Any]) -> dict[str, Any]:
    store.say(key, **said)
    return store.said(key)


def _patch(url: str, bucket: str) -> Callable[[Any, str, dict[str, Any]], dict[str, Any]]:
    """As ``gcloud storage objects update`` does it."""

    def patch(_store: ObjectStore, key: str, said: dict[str, Any]) -> dict[str, Any]:
        path = f"{url}/storage/v1/b/{bucket}/o/{quote(f'{PREFIX}/{key}', safe='')}"
        request = Request(path, json.dumps(said).encode(), {"Content-Type": "application/json"}, method="PATCH")
        with urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return {name: found[name] for name in SAID if name in found}

    return patch


def _in_memory(request: pytest.FixtureRequest) -> Maker:
    return Maker(lambda prefix: EmbeddedBucket.in_memory(prefix), _say, frozenset({Needs.SHARED}))


def _in_folder(request: pytest.FixtureRequest) -> Maker:
    folder: Path = request.getfixturevalue("tmp_path") / "bucket"
    return Maker(lambda prefix: EmbeddedBucket.open(folder, prefix), _say)


def _in_folder_on_windows(request: pytest.FixtureRequest) -> Maker:
    by_rules = rules(request.getfixturevalue("monkeypatch"))
    by_rules.__enter__()
    request.addfinalizer(lambda: by_rules.__exit__(None, None, None))
    return _in_folder(request)


def _on_server(request: pytest.FixtureRequest) -> Maker:
    server: GcsServer = request.getfixturevalue("gcs_server")
    bucket = make_bucket(server.url)
    return Maker(
        lambda prefix: GcsObjectStore(bucket, prefix, server.url, page_size=7, clock=SkippingClock()),
        _patch(server.url, bucket),
    )


def _on_referee(request: pytest.FixtureRequest) -> Maker:
    server: FakeGcsServer = request.getfixturevalue("fake_gcs_server")
    bucket = make_bucket(server.url)
    return Maker(
        lambda prefix: GcsObjectStore(bucket, prefix, server.url, page_size=7, clock=SkippingClock()),
        _patch(server.url, bucket),
        REFEREE_LACKS,
    )


MAKERS = {
    "memory": _in_memory,
    "folder": _in_folder,
    **({"folder-windows": _in_folder_on_windows} if sys.platform == "linux" else {}),
    "gcs": _on_server,
    "gcs-referee": _on_referee,
}
