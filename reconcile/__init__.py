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
    from reconcile.project import Project

__version__ = VERSION
__all__ = ["PlannedRun", "Project", "__version__", "apply", "plan"]


def __getattr__(name: str) -> Any:
    """Imports the entry points when they are first named, so that importing the package costs nothing."""
    if name == "Project":
        from reconcile.project import Project

        return Project
    if name in ("PlannedRun", "apply", "plan"):
        from reconcile import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
