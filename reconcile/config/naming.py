"""Interprets names in commands and calls: assets by a path in any spelling of a record, or by a gs:// URI; the
scope."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from reconcile.adapters.disk_names import as_text
from reconcile.config.settings import Settings
from reconcile.core.errors import UsageError
from reconcile.core.names import nfc
from reconcile.core.paths import PathKind, meaning
from reconcile.core.plan import Scope


def possible_paths(settings: Settings, subject: str) -> list[str]:
    """Returns the paths relative to the root that a text could mean, best first.

    First as typed here, if that is below the root; then relative to the root; then in every way that a record may write
    it.
    """
    here = _below(settings.root, Path(subject))
    found = [here] if here is not None else []
    meant = meaning(subject, settings.roots)
    sure = [target.path for target in meant.targets if target.sure]
    # A path below no root means something here only as in a record: by a tail that a rule claims.
    foreign = meant.kind is PathKind.ABSOLUTE and not sure
    tails = [target.path for target in meant.targets if not foreign or settings.asset_map.read(target.path, ())]
    return list(dict.fromkeys([*found, *sure, *tails]))


def key_of_uri(settings: Settings, uri: str) -> str:
    """Returns the key of a gs:// URI. Raises UsageError if it is not below this bucket and prefix."""
    key = settings.bucket.key(uri)
    if key is None:
        raise UsageError(f"{uri!r} is not below {settings.bucket}", hint="only this bucket and prefix are read")
    return key


def scope_named(
    settings: Settings, char_ids: Iterable[str] = (), asset_types: Iterable[str] = (), paths: Iterable[str] = ()
) -> Scope:
    """Returns the scope of a run, each name once.

    Types are given by name, alias or label, assets by path or URI. Raises UsageError for a type without a rule, and for
    something that cannot be an asset here.
    """
    types = map(settings.asset_map.type_called, asset_types)
    assets = (_one_asset(settings, path) for path in paths)
    return Scope(*(tuple(dict.fromkeys(each)) for each in (char_ids, types, assets)))


def _one_asset(settings: Settings, subject: str) -> str:
    """Returns the path (or for a URI, the key) of the asset that a text means, composed. Raises UsageError."""
    if subject.startswith("gs://"):
        return nfc(key_of_uri(settings, subject))
    paths = possible_paths(settings, subject)
    if not paths:
        raise UsageError(
            f"{subject!r} is not a path below the local root {settings.root}",
            hint="name a path below it, or relative to it, or a gs:// URI",
        )
    return nfc(next((each for each in paths if settings.asset_map.read(each, ()) is not None), paths[0]))


def _below(root: Path, path: Path) -> str | None:
    try:
        rest = path.resolve().relative_to(root.resolve()).as_posix()
    except (ValueError, OSError):
        return None
    return None if rest == "." else as_text(rest)
