"""What workflow code calls: a decorator, a wrapper, a helper and a watcher.

>>> @auto_upload_to_gcs(asset_type="anime_image")
... def generate_character_image(char_id: str) -> str: ...
>>> local_path, gcs_uri = generate_character_image("ai_hoshino")

Each room is imported when it is first needed:

    wrapping   a function, with the hook that comes after it
    calls      what a call that has ended says: its files, their character, the fields they were given
    waiting    how a call waits for its hand-over: to the end, with the outbox behind it, or for another process
    handover   survey, the call's part of the plan, execute, answer
    errors     what becomes of the answer's problems: they are raised, warned of, or logged
"""

from __future__ import annotations

# typing, inspect and logging take longer to import than a workflow should pay for a decorator it may never call.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from typing import Any, Literal, ParamSpec, TypeAlias, TypeVar, overload

    from reconcile.hooks.errors import NotUploaded
    from reconcile.hooks.types import Same, Uploading
    from reconcile.hooks.watching import Watching

    P = ParamSpec("P")
    R = TypeVar("R")
    Folder: TypeAlias = str | os.PathLike[str] | None
    CharacterOf: TypeAlias = Callable[[Mapping[str, Any]], str | None] | None
    OnError: TypeAlias = Literal["raise", "warn", "queue"]
else:

    def overload(function):
        return function


__all__ = ["NotUploaded", "auto_upload_to_gcs", "sync_upsert", "update_firestore_gcs_path", "watch_directory"]


@overload
def auto_upload_to_gcs(asset_type: Callable[P, Any], /) -> Callable[P, Any]: ...
@overload
def auto_upload_to_gcs(  # noqa: F811 overloads
    asset_type: str | None = None,
    *,
    on_error: Literal["raise"] = "raise",
    char_id: CharacterOf = None,
    project: Folder = None,
) -> Uploading[str]: ...
@overload
def auto_upload_to_gcs(  # noqa: F811
    asset_type: str | None = None,
    *,
    on_error: Literal["warn", "queue"],
    char_id: CharacterOf = None,
    project: Folder = None,
) -> Uploading[str | None]: ...
def auto_upload_to_gcs(  # noqa: F811
    asset_type: str | Callable[..., Any] | None = None,
    *,
    on_error: OnError = "raise",
    char_id: CharacterOf = None,
    project: Folder = None,
) -> Any:
    """Uploads the files whose paths the decorated function returns, and updates their character's record.

    A path becomes ``(path, uri)``, several become a list of such pairs, a tuple that begins with a path becomes
    ``(path, uri, …)``, and None stays None, also as a gap among paths; a coroutine function stays one. ``asset_type``
    is a type of the rules, its alias or its label, and must be the one that they give the path; left out, the path's
    own rule says it. The character is the argument named ``char_id``, or what ``char_id=`` makes of the call's
    arguments, or what the path says. ``project`` is the project folder; left out, it is looked for from the file's
    folder upward, then from the current one.

    What to do if a file does not arrive: ``raise`` NotUploaded, which has what the function returned; ``warn``; or
    ``queue``, which notes the file for the next run and never waits long. The URI is None then.

    Raises UsageError at decoration for a generator function, or options that do not fit.
    """
    from reconcile.hooks.errors import Manner
    from reconcile.hooks.wrapping import UPLOADING, uploading

    manner = Manner(on_error, project, UPLOADING)
    if callable(asset_type):  # the decorator without parentheses
        return uploading(None, char_id, manner)(asset_type)
    return uploading(asset_type, char_id, manner)


@overload
def sync_upsert(
    upsert_asset: Callable[P, R], *, on_error: OnError = "raise", project: Folder = None
) -> Callable[P, R]: ...


@overload
def sync_upsert(*, on_error: OnError = "raise", project: Folder = None) -> Same: ...  # noqa: F811


def sync_upsert(  # noqa: F811
    upsert_asset: Any = None, *, on_error: OnError = "raise", project: Folder = None
) -> Any:
    """Wraps a workflow's own ``upsert_asset(char_id, {"title": …, field: path})``, also a coroutine function: it runs
    first, and what it returns or raises is passed on; then the character is brought in step, and the record's fields
    are given the URIs of the files that were upserted. ``on_error`` and ``project`` as in ``auto_upload_to_gcs``.
    """
    from reconcile.hooks.errors import Manner
    from reconcile.hooks.wrapping import SYNCING, syncing

    wrap = syncing(Manner(on_error, project, SYNCING))
    return wrap if upsert_asset is None else wrap(upsert_asset)


def update_firestore_gcs_path(char_id: str, title: str, field: str, uri: str, *, project: Folder = None) -> bool:
    """Sets one field of the map with this title in a character's record to the URI of an object that is there, and
    leaves everything else as it is. Gives whether something was written: a second call writes nothing.

    Raises UsageError for a URI that is not below the project's bucket and prefix, NotThere if the object or the record
    is not there, LockHeld, and StoreError.
    """
    from reconcile.commands.set_field import update_field

    return update_field(char_id, title, field, uri, project)


def watch_directory(path: str | os.PathLike[str], *, auto_upload: bool = True) -> Watching:
    """Watches a project's local root from a thread of this process, and uploads what settles there; with
    ``auto_upload=False`` it only logs what would be done. Stop it with ``stop()``, or use it as a context manager.

    Raises UsageError if the folder is not a project's local root, and ConfigError.
    """
    from reconcile.hooks.watching import Watching

    return Watching(path, auto_upload=auto_upload)


def __getattr__(name: str) -> Any:
    """Imports the error when it is first named: it takes longer than all else here."""
    if name != "NotUploaded":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from reconcile.hooks.errors import NotUploaded

    return NotUploaded


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
