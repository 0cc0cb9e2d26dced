"""What each way in imports of other people's packages: a start that is quick stays quick."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import reconcile
from tests.kit.small_project import make_project

PACKAGES = {
    *("certifi", "crc32c", "filelock", "google", "grpc", "jinja2", "msgspec", "requests", "rich", "typer"),
    *("reconcile.adapters.local.apart", "rich.live", "rich.progress", "sqlite3", "urllib3", "watchfiles"),
}
"""What takes long to import: the packages that we depend on, a few parts of packages, and what starts a process."""


def imported(code: str, *arguments: str) -> set[str]:
    """Which of them a new interpreter has imported after this code."""
    code = f"import json, sys\n{code}\nprint('', json.dumps(sorted(sys.modules)), file=sys.stderr)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    return PACKAGES & set(json.loads(done.stderr.rpartition("\n ")[2] or done.stderr))


COMMAND = "from reconcile.__main__ import main; main(sys.argv[1:])"


def test_the_version_is_said_without_anything_else() -> None:
    assert imported(COMMAND, "--version") == {"typer"}


def test_the_list_of_commands_is_shown_without_any_of_them() -> None:
    assert imported(COMMAND, "--help") == {"typer", "rich"}


def test_the_help_of_a_command_needs_no_client_no_lock_and_no_page() -> None:
    assert imported(COMMAND, "plan", "--help") == {"typer", "rich", "msgspec", "sqlite3"}


def test_a_plan_of_nothing_on_embedded_stores_needs_no_client_no_lock_and_no_page(tmp_path: Path) -> None:
    folder = str(make_project(tmp_path / "project"))
    assert "filelock" in imported(COMMAND, "-C", folder, "apply", "--yes", "--quiet")
    needed = imported(COMMAND, "-C", folder, "plan", "--quiet")
    assert needed - {"crc32c"} == {"typer", "rich", "msgspec", "sqlite3"}  # files as new as these are read again


@pytest.mark.parametrize(
    ("statement", "needed"),
    [
        ("import reconcile", set()),
        ("from reconcile import ReconcileError, StoreUnavailable", set()),
        ("import reconcile.hooks", set()),
        ("from reconcile.hooks import auto_upload_to_gcs", set()),
        ("from reconcile import Project, RunOptions", {"msgspec", "sqlite3"}),
        ("from reconcile import plan, apply", {"msgspec", "sqlite3"}),
        ("from reconcile import Asset, AssetState", {"msgspec"}),
        ("from reconcile import watch, WatchOptions", {"msgspec", "sqlite3"}),
    ],
)
def test_a_workflow_that_imports_us_pays_for_what_it_names(statement: str, needed: set[str]) -> None:
    assert imported(statement) == needed


def test_the_package_gives_what_it_exports_and_nothing_else() -> None:
    assert all(getattr(reconcile, name) is not None for name in reconcile.__all__)
    with pytest.raises(AttributeError, match="nothing_such"):
        reconcile.nothing_such  # noqa: B018


WATCH = """
import threading
from reconcile import Project, WatchOptions
{statement}
said, stop = [], threading.Event()
def tell(event):
    said.append(event.event.value)
    if said[-1] in ("planned", "failed"):
        stop.set()
{call}
assert "planned" in said, said
"""
NEW, OLD = "Project.open(sys.argv[1]), WatchOptions(apply=False)", "Project.open(sys.argv[1]), apply=False"


@pytest.mark.parametrize(
    ("statement", "call"),
    [
        ("from reconcile import watch", f"watch({NEW}, listener=tell, stop=stop)"),
        ("from reconcile.watch import watch", f"watch({OLD}, listener=tell, stop=stop)"),
        ("import reconcile.watch", f"reconcile.watch.watch({OLD}, listener=tell, stop=stop)"),
        ("import reconcile.watch; from reconcile import watch", f"watch({NEW}, listener=tell, stop=stop)"),
    ],
)
def test_the_watcher_is_imported_by_its_name_and_by_its_former_one(tmp_path: Path, statement: str, call: str) -> None:
    folder = make_project(tmp_path / "project")
    imported(WATCH.format(statement=statement, call=call), str(folder))
