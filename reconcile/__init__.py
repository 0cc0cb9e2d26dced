"""Brings local files, Google Cloud Storage objects and Firestore records in step.

>>> from reconcile import Project, plan, apply
>>> result = apply(plan(Project.open("."), char_ids=["ai_hoshino"]))
"""

from __future__ import annotations

from reconcile.version import VERSION

TYPE_CHECKING = False  # known to type checkers; importing typing takes as long as everything else
if TYPE_CHECKING:
    from typing import Any

    from reconcile.api import PlannedRun, Project, apply, plan
    from reconcile.commands.watch import WatchOptions, watch
    from reconcile.core.catalogue import Asset, AssetState
    from reconcile.core.changes import Finding
    from reconcile.core.errors import (
        AccessDenied,
        ConfigError,
        Declined,
        ExitCode,
        Interrupted,
        JournalError,
        LocalDatabaseError,
        LockHeld,
        NotThere,
        PreconditionFailed,
        ReconcileError,
        Refused,
        Rejected,
        SourceChanged,
        SourceError,
        SpillError,
        StateError,
        StoreError,
        StoreMissing,
        StoreUnavailable,
        Uncertain,
        UsageError,
    )
    from reconcile.core.report import Report
    from reconcile.run_options import RunOptions

__version__ = VERSION
__all__ = [
    "AccessDenied",
    "Asset",
    "AssetState",
    "ConfigError",
    "Declined",
    "ExitCode",
    "Finding",
    "Interrupted",
    "JournalError",
    "LocalDatabaseError",
    "LockHeld",
    "NotThere",
    "PlannedRun",
    "PreconditionFailed",
    "Project",
    "ReconcileError",
    "Refused",
    "Rejected",
    "Report",
    "RunOptions",
    "SourceChanged",
    "SourceError",
    "SpillError",
    "StateError",
    "StoreError",
    "StoreMissing",
    "StoreUnavailable",
    "Uncertain",
    "UsageError",
    "WatchOptions",
    "__version__",
    "apply",
    "plan",
    "watch",
]

_HOMES = {
    "Asset": "core.catalogue",
    "AssetState": "core.catalogue",
    "Finding": "core.changes",
    "PlannedRun": "api",
    "Project": "api",
    "Report": "core.report",
    "RunOptions": "run_options",
    "WatchOptions": "commands.watch",
    "apply": "api",
    "plan": "api",
    "watch": "commands.watch",
}
"""The module of each name; all other names are errors."""


def __getattr__(name: str) -> Any:
    """Imports an exported name on first use, so that importing the package costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'core.errors')}"), name)


def __dir__() -> list[str]:
    """Returns the exported names, whether or not they were used before."""
    return sorted({*globals(), *__all__})
