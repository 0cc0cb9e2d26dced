"""Brings local files, Google Cloud Storage objects and Firestore records in step.

>>> from reconcile import Project, plan, apply
>>> result = apply(plan(Project.open("."), char_ids=["ai_hoshino"]))
"""

from __future__ import annotations

from reconcile.version import VERSION

TYPE_CHECKING = False  # the name that type checkers know; typing takes as long to import as all else up to the command
if TYPE_CHECKING:
    from typing import Any

    from reconcile.api import PlannedRun, apply, plan
    from reconcile.commands.watch import WatchOptions, watch
    from reconcile.core.catalogue import Asset, AssetState
    from reconcile.project import Project, RunOptions

__version__ = VERSION
__all__ = [
    "Asset",
    "AssetState",
    "PlannedRun",
    "Project",
    "RunOptions",
    "WatchOptions",
    "__version__",
    "apply",
    "plan",
    "watch",
]

_HOMES = {
    "Asset": "core.catalogue",
    "AssetState": "core.catalogue",
    "PlannedRun": "api",
    "Project": "project",
    "RunOptions": "project",
    "WatchOptions": "commands.watch",
    "apply": "api",
    "plan": "api",
    "watch": "commands.watch",
}


def __getattr__(name: str) -> Any:
    """Imports the entry points when they are first named, so that importing the package costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
