"""What a text means that a person typed for an asset: a path in any spelling that a record may use, or a gs:// URI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reconcile.adapters.disk_names import as_text
from reconcile.core.errors import UsageError
from reconcile.core.names import nfc
from reconcile.core.paths import PathKind, meaning

if TYPE_CHECKING:
    from reconcile.config.settings import Settings


def possible_paths(settings: Settings, subject: str) -> list[str]:
    """The paths relative to the root that a text could mean, the best first: below the root as it is typed here,
    relative to the root, then every way in which a record may write it."""
    here = _below(settings.root, Path(subject))
    found = [here] if here is not None else []
    meant = meaning(subject, settings.roots)
    sure = [target.path for target in meant.targets if target.sure]
    # A path below no root means something here only as a record's would: by a tail that a rule takes.
    foreign = meant.kind is PathKind.ABSOLUTE and not sure
    tails = [target.path for target in meant.targets if not foreign or settings.asset_map.read(target.path, ())]
    return list(dict.fromkeys([*found, *sure, *tails]))


def key_of_uri(settings: Settings, uri: str) -> str:
    """The key of a gs:// URI. Raises UsageError for one that is not below this bucket and prefix."""
    key = settings.bucket.key(uri)
    if key is None:
        raise UsageError(f"{uri!r} is not below {settings.bucket}", hint="only this bucket and prefix are read")
    return key


def one_asset(settings: Settings, subject: str) -> str:
    """The path, or of a URI the key, of the one asset that a text means, composed. Raises UsageError."""
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
