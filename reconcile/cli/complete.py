"""Completes the word that is being typed on a command line. If nothing is known about it, nothing is completed.

Everything comes from the rules file and from what earlier runs left in .reconcile/; no store is asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from reconcile.adapters.state.recall import Recall
    from reconcile.config.settings import Settings

MOST_FILES = 200
"""The most files of a folder that are opened to find saved plans."""


def asset_types(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Returns the asset types of the rules that begin like this, with their labels."""
    rules = _settings(context).asset_map.rules
    return [(rule.type, rule.label) for rule in rules if rule.type.startswith(incomplete)]


def characters(context: typer.Context, incomplete: str) -> list[str]:
    """Returns the characters that begin like this."""
    return [each for each in _recall(context).characters() if each.startswith(incomplete)]


def paths(context: typer.Context, incomplete: str) -> list[str]:
    """Returns the paths below the local root, and the gs:// URIs, that begin like this."""
    below = _recall(context).names(incomplete)
    if not incomplete or not (incomplete.startswith("gs:") or "gs:".startswith(incomplete)):
        return below
    bucket = f"{_settings(context).bucket}/"
    if bucket.startswith(incomplete):
        return [*below, bucket]
    if not incomplete.startswith(bucket):
        return below
    return [bucket + each for each in _recall(context).names(incomplete.removeprefix(bucket))]


def subjects(context: typer.Context, incomplete: str) -> list[str]:
    """Returns the characters and the paths that begin like this."""
    return [*characters(context, incomplete), *paths(context, incomplete)]


def run_ids(context: typer.Context, incomplete: str) -> list[str]:
    """Returns the runs in the journal that begin like this, the newest first. Reads only the names of its files."""
    from reconcile.adapters.state.journal import Journal

    found = reversed(Journal(_folder(context)).run_ids())
    return [name for name in ("last", *found) if name.startswith(incomplete)]


def states(incomplete: str) -> list[str]:
    """Returns the states of an asset that begin like this."""
    from reconcile.core.catalogue import AssetState

    return [each.value for each in AssetState if each.value.startswith(incomplete)]


def plan_files(incomplete: str) -> list[str]:
    """Returns the saved plans, and the folders, that begin like this."""
    from reconcile.cli.files import PLAN

    head, _, begun = incomplete.rpartition("/")
    folder = incomplete[: len(head) + 1] if "/" in incomplete else ""
    hidden = begun.startswith(".")
    found: list[str] = []
    with os.scandir(os.path.expanduser(folder) or ".") as entries:
        listed = sorted((each for each in entries if each.name.startswith(begun)), key=lambda each: each.name)
    for entry in listed[:MOST_FILES]:
        if entry.is_dir() and (hidden or not entry.name.startswith(".")):
            found.append(f"{folder}{entry.name}/")
        elif entry.is_file() and PLAN.is_at(entry.path):
            found.append(folder + entry.name)
    return found


def _folder(context: typer.Context) -> Path:
    from reconcile.config.environment import find_project

    return find_project(explicit=_given(context, "project"))


def _recall(context: typer.Context) -> Recall:
    from reconcile.adapters.state.recall import Recall

    return Recall(_folder(context))


def _settings(context: typer.Context) -> Settings:
    from reconcile.config.environment import Overrides
    from reconcile.config.settings import load

    named = {name: _given(context, name) for name in Overrides.__struct_fields__}
    return load(_folder(context), Overrides(**named))


def _given(context: typer.Context, name: str) -> Any:
    """Returns the value of a common option if it has been typed already, before or after the name of the command."""
    at: Any = context
    while at is not None:
        if at.params.get(name) is not None:
            return at.params[name]
        at = at.parent
    return None
