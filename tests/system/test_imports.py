"""What a command imports that finds nothing to write: nothing of Google's clients, and no more than it shows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.workshop import Workshop, open_workshop
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

CLIENTS = {"google", "grpc", "requests", "urllib3", "proto"}
HTTP = {"certifi", "http", "ssl"}
FILE_SYSTEM = {"watchfiles", "sqlite3", "crc32c", "filelock"}
FOR_OTHERS = {
    *(f"reconcile.adapters.{name}" for name in ("embedded", "jsondb", "local.writing", "state.journal", "state.lock")),
    *(f"reconcile.cli.{name}" for name in ("notify", "run", "saved", "watch")),
    *("reconcile.commands", "reconcile.core.journal", "reconcile.hooks", "reconcile.pipeline.executor"),
}
"""What a plan on servers that is printed as JSON does without."""
COMMAND = """
import sys
from reconcile.__main__ import main
code = main(sys.argv[1:])
ours = {name for name in sys.modules if name.startswith("reconcile.")}
sys.stderr.write("\\n" + " ".join(sorted({name.partition(".")[0] for name in sys.modules} | ours)) + "\\n")
sys.exit(code)
"""


@pytest.fixture
def shop(tmp_path: Path, firestore_server: FirestoreServer) -> Iterator[Workshop]:
    """A project on both servers, in step."""
    with GcsServer() as gcs:
        made = open_workshop(tmp_path / "studio", gcs, firestore_server.address, local_db=False)
        folder = made.folder / "output" / "characters"
        folder.mkdir(parents=True)
        (folder / "rem.png").write_bytes(b"picture")
        assert command(made.folder, "apply", "--yes")[0] == 0
        yield made


def command(folder: Path, *arguments: str) -> tuple[int, set[str], str]:
    """The exit code of a command, what it imported, and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=120
    )
    *said, imported = done.stderr.rstrip().splitlines()
    return done.returncode, set(imported.split()), done.stdout + "\n".join(said)


@pytest.mark.parametrize("arguments", [("--version",), ("--help",)], ids=" ".join)
def test_what_says_what_it_is_opens_neither_stores_nor_files(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    _, imported, _ = command(tmp_path, *arguments)
    assert imported & (CLIENTS | FILE_SYSTEM | HTTP) == set()


@pytest.mark.parametrize("name", ["plan", "apply", "verify", "status"])
def test_the_help_of_a_command_opens_no_store(tmp_path: Path, name: str) -> None:
    _, imported, _ = command(tmp_path, name, "--help")
    assert imported & (CLIENTS | HTTP) == set()


@pytest.mark.parametrize(
    "arguments",
    [("plan",), ("plan", "--json"), ("plan", "--char-id", "rem"), ("status",), ("verify",), ("apply", "--yes")],
    ids=" ".join,
)
def test_what_finds_nothing_to_write_imports_no_client(shop: Workshop, arguments: tuple[str, ...]) -> None:
    code, imported, said = command(shop.folder, *arguments)
    assert code == 0, said
    assert imported & (CLIENTS | {"pydantic"}) == set()
    assert {"msgspec", "http"} <= imported


@pytest.mark.parametrize("arguments", [("plan", "--json"), ("plan", "--json", "--char-id", "rem")], ids=" ".join)
def test_a_plan_as_json_imports_neither_what_draws_on_a_terminal_nor_what_other_runs_need(
    shop: Workshop, arguments: tuple[str, ...]
) -> None:
    code, imported, said = command(shop.folder, *arguments)
    assert code == 0, said
    assert imported & (FOR_OTHERS | {"rich"}) == set()


def test_an_upload_imports_no_client(shop: Workshop) -> None:
    (shop.folder / "output" / "characters" / "mei.png").write_bytes(b"another picture")
    _, imported, said = command(shop.folder, "apply", "--yes")
    assert "mei.png" in said
    assert imported & CLIENTS == set()


def test_hooks_import_nothing_heavy_before_they_are_called() -> None:
    program = "import sys, reconcile.hooks; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert imported & (CLIENTS | FILE_SYSTEM | {"rich", "typer", "msgspec", "http", "ssl", "asyncio"}) == set()
