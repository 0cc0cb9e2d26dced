"""Recognizes folders that a program on this machine synchronizes with a cloud, such as OneDrive."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from reconcile.adapters.disk_names import native
from reconcile.adapters.system import current

_ONEDRIVE = ("OneDrive", "OneDriveConsumer", "OneDriveCommercial")
"""Variables in which OneDrive names its folder."""
_FOLDERS = re.compile(r"(OneDrive|Dropbox|Google ?Drive|iCloud ?Drive)([ -].*)?", re.IGNORECASE)
_ICLOUD = ("Mobile Documents", "com~apple~CloudDocs")
"""The names of iCloud Drive's folders on macOS."""


def synced_by(folder: Path, environ: Mapping[str, str] | None = None) -> str:
    """Returns the service that synchronizes a folder, as far as its path shows; empty if none."""
    env = os.environ if environ is None else environ
    for variable in _ONEDRIVE:
        if env.get(variable) and folder.is_relative_to(env[variable]):
            return "OneDrive"
    for part in folder.parts:
        if part in _ICLOUD:
            return "iCloud Drive"
        if (named := _FOLDERS.fullmatch(part)) is not None:
            return named[1]
    return ""


def is_elsewhere(root: Path, name: str) -> bool:
    """Whether only the name of a file below the root is on this machine, and its content in a cloud."""
    system = current()
    try:
        return system.is_elsewhere(system.lstat(system.extended(os.path.join(root, native(name)))))
    except (OSError, ValueError):
        return False
