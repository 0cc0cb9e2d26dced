"""A small project, and the command line run on it in this process."""

from __future__ import annotations

import errno
import json
import os
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reconcile.__main__ import main
from tests.kit.small_project import make_project
from tests.kit.workflows import Studio
from tests.servers.gcs import GcsServer
from tools import schemas


@pytest.fixture(autouse=True)
def _flushing_as_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is open for reading only cannot be flushed, as on Windows: each test holds that too."""
    if sys.platform == "win32":
        return
    import fcntl

    flush = os.fsync

    def fsync(file: Any) -> None:
        fd = file if isinstance(file, int) else file.fileno()
        read_only = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        if read_only and stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flush(fd)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.fixture
def server() -> Iterator[GcsServer]:
    """Cloud Storage in process, with the empty bucket "b"."""
    with GcsServer() as started:
        started.world.make_bucket("b")
        yield started


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


@pytest.fixture
def studio(folder: Path) -> Studio:
    return Studio(folder)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "studio")


class Answer:
    """What a command answered."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def document(self, kind: str) -> Any:
        """The one JSON document on stdout, held against its schema."""
        found = json.loads(self.out)
        jsonschema.validate(found, schemas.schema(kind), cls=jsonschema.Draft202012Validator)
        return found


@pytest.fixture
def run(project: Path, capfd: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: str, folder: Path = project) -> Answer:
        capfd.readouterr()
        code = main(["-C", str(folder), *arguments])
        return Answer(code, *capfd.readouterr())

    return command


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that is its own CA; the key is beside it."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(path.with_name("key.pem")), "-days", "2"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(["openssl", "req", "-x509", *key, *name, "-out", str(path)], check=True, capture_output=True)
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """What a server on localhost shows that certificate with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return context
