"""The module ``reconcile.watch`` of earlier versions, whose ``watch`` takes the options one by one.

The module itself is callable, because once it is imported, ``from reconcile import watch`` returns it.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from reconcile.commands import watch as home
from reconcile.core.changes import Finding
from reconcile.project import ClosedProject

_OPTIONS = home.WatchOptions.__struct_fields__


def watch(project: ClosedProject, **given: Any) -> tuple[Finding, ...]:
    """Watches as `reconcile.commands.watch.watch`, with the fields of ``WatchOptions`` as keywords."""
    options = home.WatchOptions(**{name: given.pop(name) for name in _OPTIONS if name in given})
    return home.watch(project, options, **given)


class _CallableModule(ModuleType):
    def __call__(self, *arguments: Any, **given: Any) -> tuple[Finding, ...]:
        return home.watch(*arguments, **given)


sys.modules[__name__].__class__ = _CallableModule
