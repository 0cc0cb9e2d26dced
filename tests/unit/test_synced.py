"""Whose folders are carried to a cloud, as far as a path tells."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from reconcile.__main__ import main
from reconcile.adapters.posix import System
from reconcile.adapters.synced import synced_by
from tests.kit.small_project import make_project


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/Users/ai/OneDrive/studio", "OneDrive"),
        ("/Users/ai/OneDrive - Studio Ltd/films", "OneDrive"),
        ("/Users/ai/Library/CloudStorage/OneDrive-Personal/films", "OneDrive"),
        ("/Users/ai/Dropbox/films", "Dropbox"),
        ("/Users/ai/Dropbox (Studio)/films", "Dropbox"),
        ("/Users/ai/Library/CloudStorage/GoogleDrive-ai@x.org/My Drive", "GoogleDrive"),
        ("/Users/ai/iCloudDrive/films", "iCloudDrive"),
        ("/Users/ai/Library/Mobile Documents/films", "iCloud Drive"),
        ("/moved/here/films", "OneDrive"),
        ("/moved/hereafter/films", ""),
        ("/srv/studio/onedriver", ""),
        ("/srv/dropboxes/films", ""),
    ],
)
def test_a_folder_that_a_service_carries_away_is_known_by_its_path(path: str, service: str) -> None:
    assert synced_by(Path(path), {"OneDrive": "/moved/here", "OneDriveCommercial": ""}) == service


def test_doctor_warns_of_a_project_that_is_carried_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "OneDrive").mkdir()
    project = make_project(tmp_path / "OneDrive" / "studio")
    main(["-C", str(project), "doctor", "--json"])
    checks = {each["name"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["state"]["health"] == "warning"
    assert checks["state"]["found"].startswith("OneDrive carries it to other machines")


@pytest.mark.skipif(os.name != "posix", reason="owners are asked for in another way there")
def test_a_folder_of_another_user_is_told_from_ones_own(tmp_path: Path) -> None:
    assert System().owner(tmp_path) == ""
    other = Path("/")
    if os.geteuid() == 0:
        other = tmp_path
        os.chown(tmp_path, 54_321, -1)
    assert System().owner(other) in ("root", "54321")
