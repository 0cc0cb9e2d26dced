"""Names on disk are bytes read as UTF-8, whatever the locale says, in every command that reads or writes files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.small_project import OLD, make_project, open_objects

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are UTF-8, or UTF-16, by themselves")

LATIN = "en_US.ISO-8859-1"


def knows(locale: str) -> bool:
    test = "import locale, sys; locale.setlocale(locale.LC_ALL, sys.argv[1])"
    return subprocess.run([sys.executable, "-c", test, locale], check=False, capture_output=True).returncode == 0


@pytest.fixture(params=["POSIX", LATIN])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == LATIN and not knows(LATIN):
        pytest.skip("this machine does not have the locale")
    return {**os.environ, "LC_ALL": request.param, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = make_project(tmp_path / "pr\u0153ject")
    (folder / "output").rename(folder / "sorti\u00e9")
    (folder / "stores").rename(folder / "\u00e9tage")
    rules = folder / "rules" / "asset_map.toml"
    text = rules.read_text(encoding="utf-8").replace('root = "output"', 'root = "sorti\u00e9"')
    rules.write_text(text.replace("file:stores", "file:\u00e9tage"), encoding="utf-8")
    return folder


def run(folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "reconcile", *arguments]
    return subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, timeout=120)


def keys(folder: Path) -> set[str]:
    (folder / "stores").symlink_to("\u00e9tage")
    objects = open_objects(folder)
    found = {each.key for each in objects.list()}
    objects.close()
    (folder / "stores").unlink()
    return found


def test_a_file_is_planned_uploaded_and_restored_by_its_name_in_any_locale(
    project: Path, environment: dict[str, str]
) -> None:
    file = project / "sorti\u00e9" / "characters" / "zo\u00eb.png"
    file.write_bytes(b"zoe")
    os.utime(file, (OLD, OLD))
    planned = run(project, environment, "plan", "--json", "--char-id", "zo\u00eb")
    assert [each["key"] for each in json.loads(planned.stdout)["actions"]] == ["characters/zo\u00eb.png"]
    assert run(project, environment, "apply", "--yes", "-C", str(project)).returncode == 0
    assert "characters/zo\u00eb.png" in keys(project)
    file.unlink()
    assert run(project, environment, "restore", "--yes", "--all").returncode == 0
    assert file.read_bytes() == b"zoe"
    again = json.loads(run(project, environment, "plan", "--json").stdout)
    assert (again["actions"], again["stores"]["local"]) == ([], str(project / "sorti\u00e9"))


def test_a_path_that_is_typed_means_the_file_in_any_locale(project: Path, environment: dict[str, str]) -> None:
    done = run(project, environment, "rules", "test", "--json", "sorti\u00e9/characters/zo\u00eb.png")
    [trial] = json.loads(done.stdout)["results"]
    assert (trial["path"], trial["char_id"]) == ("characters/zo\u00eb.png", "zo\u00eb")
    assert run(project, environment, "rules", "test", "sorti\u00e9/characters/zo\u00eb.png").returncode == 0


def test_a_file_that_a_workflow_returns_is_uploaded_by_its_name_in_any_locale(
    project: Path, environment: dict[str, str]
) -> None:
    workflow = project / "workflow.py"
    workflow.write_text(
        "import os, sys\n"
        "from reconcile.hooks import auto_upload_to_gcs\n"
        "@auto_upload_to_gcs()\n"
        "def make():\n"
        "    [folder] = [each for each in os.listdir('.') if each.startswith('sorti')]\n"
        "    file = os.path.join(folder, 'characters', os.fsdecode(b'zo\\xc3\\xab.png'))\n"
        "    open(file, 'wb').write(b'zoe')\n"
        "    return file\n"
        "make()\n",
        encoding="utf-8",
    )
    command = [sys.executable, str(workflow)]
    done = subprocess.run(command, check=False, cwd=project, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "characters/zo\u00eb.png" in keys(project)


def test_the_name_of_a_file_that_was_written_is_told_as_it_is(project: Path, environment: dict[str, str]) -> None:
    done = run(project, {**environment, "PYTHONIOENCODING": "utf-8"}, "report", "--out", "zo\u00eb.html")
    assert done.returncode == 0, done.stderr
    assert "wrote zo\u00eb.html" in done.stdout.decode()
    told = json.loads(run(project, environment, "report", "--json", "--out", "zo\u00eb.html").stdout)
    assert told["out"] == "zo\u00eb.html"


@pytest.mark.parametrize("home", ["~", "~/media"])
def test_a_tilde_is_the_home_folder_and_no_folder_of_that_name(tmp_path: Path, home: str) -> None:
    folder = make_project(tmp_path / "project")
    at_home = tmp_path / "home" / home.removeprefix("~").removeprefix("/")
    shutil.copytree(folder / "output", at_home / "output")
    shutil.copytree(folder / "stores", at_home / "stores")
    rules = folder / "rules" / "asset_map.toml"
    text = rules.read_text(encoding="utf-8").replace('root = "output"', f'root = "{home}/output"')
    rules.write_text(text.replace("file:stores", f"file:{home}/stores"), encoding="utf-8")
    environment = {**os.environ, "HOME": str(tmp_path / "home")}
    done = run(tmp_path, environment, "plan", "--json", "-C", "~/../project")
    stores = json.loads(done.stdout)["stores"]
    assert (stores["local"], stores["bucket_endpoint"]) == (f"{at_home}/output", f"file:{at_home}/stores")
    (at_home / "output").rename(at_home / "gone")
    checked = run(folder, environment, "rules", "check", "--json")
    assert (checked.returncode, json.loads(checked.stdout)["root_is_there"]) == (0, False)
    assert b"not there" in run(folder, environment, "rules", "check").stdout
    assert not (folder / "~").exists()


def test_a_home_folder_that_is_nobodys_is_refused_with_the_line(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "project")
    rules = folder / "rules" / "asset_map.toml"
    text = rules.read_text(encoding="utf-8").replace('root = "output"', 'root = "~nobody-of-this-name/output"')
    rules.write_text(text, encoding="utf-8")
    done = run(folder, dict(os.environ), "rules", "check")
    assert done.returncode == 78
    assert b"there is no home folder for" in done.stderr
