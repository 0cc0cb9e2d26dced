"""The configuration: the rules file and the environment, checked and combined into `Settings`."""

from reconcile.config.environment import (
    FIRESTORE_EMULATOR,
    RULES,
    STORAGE_EMULATOR,
    Overrides,
    absolute,
    find_project,
)
from reconcile.config.settings import (
    Incomplete,
    LocalDbSettings,
    Policy,
    RecordsUri,
    Settings,
    load,
    parse,
    template,
)

__all__ = [
    "FIRESTORE_EMULATOR",
    "RULES",
    "STORAGE_EMULATOR",
    "Incomplete",
    "LocalDbSettings",
    "Overrides",
    "Policy",
    "RecordsUri",
    "Settings",
    "absolute",
    "find_project",
    "load",
    "parse",
    "template",
]
