"""What workflow code calls: a decorator, a wrapper, a helper and a watcher.

>>> @auto_upload_to_gcs(asset_type="anime_image")
... def generate_character_image(char_id: str) -> str: ...
>>> local_path, gcs_uri = generate_character_image("ai_hoshino")

Each module is imported when it is first needed:

    wrapping   a function, and the hook that is called after it
    aside      threads for the hooks of coroutine functions
    calls      what a finished call says: its files, their character, the fields that they go into
    waiting    how a call waits for its hand-over: to the end, for a limited time, or for another process
    handover   survey, the call's part of the plan, execute, answer
    errors     how the problems in the answer are reported: as an error, a warning, or a line in the log
    watching   a watcher in a thread
"""

from __future__ import annotations

# typing, inspect and logging take longer to import than a workflow should pay for a decorator it may never call.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from typing import Any, Literal, TypeAlias, overload

    from reconcile.hooks.errors import NotUploaded
    from reconcile.hooks.types import P, R, Uploading
    from reconcile.hooks.watching import Watching

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
    is a type of the rules, its alias or its label, and must be the type that the rules give the path; without it, the
    rule of the path decides. The character is the argument named ``char_id``, or what ``char_id=`` returns for the
    arguments of the call, or the one in the path. ``project`` is the project folder; without it, it is searched for
    from the folder of the file upward, then from the current folder.

    ``on_error`` says what happens if a file does not arrive: ``raise`` raises NotUploaded, which has what the function
    returned; ``warn`` warns; ``queue`` notes the file for the next run, and never waits long. With the last two the URI
    is then None.

    Raises UsageError at decoration for a generator function, or options that do not fit.
    """
    from reconcile.hooks.errors import UPLOADING, HookOptions
    from reconcile.hooks.wrapping import Wrapper

    if callable(asset_type):  # the decorator without parentheses
        return Wrapper(asset_type, HookOptions(UPLOADING, on_error, project, None, char_id))
    options = HookOptions(UPLOADING, on_error, project, asset_type, char_id)
    return lambda function: Wrapper(function, options)


@overload
def sync_upsert(
    upsert_asset: Callable[P, R], *, on_error: OnError = "raise", project: Folder = None
) -> Callable[P, R]: ...


@overload
def sync_upsert(  # noqa: F811
    *, on_error: OnError = "raise", project: Folder = None
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def sync_upsert(  # noqa: F811
    upsert_asset: Any = None, *, on_error: OnError = "raise", project: Folder = None
) -> Any:
    """Wraps a workflow's own ``upsert_asset(char_id, {"title": …, field: path})``, which may be a coroutine function.

    The function runs first, and what it returns or raises is passed on. Then the character is brought in step, and the
    fields of its record get the URIs of the upserted files. ``on_error`` and ``project`` as in ``auto_upload_to_gcs``.
    """
    from reconcile.hooks.errors import SYNCING, HookOptions
    from reconcile.hooks.wrapping import Wrapper

    options = HookOptions(SYNCING, on_error, project)
    return Wrapper(upsert_asset, options) if upsert_asset is not None else lambda function: Wrapper(function, options)


def update_firestore_gcs_path(char_id: str, title: str, field: str, uri: str, *, project: Folder = None) -> bool:
    """Sets one field of the map with this title in a character's record to the URI of an existing object, and leaves
    everything else as it is. Returns whether something was written: a second call writes nothing.

    Raises UsageError for a URI that is not below the project's bucket and prefix, NotThere if the object or the record
    does not exist, LockHeld, and StoreError.
    """
    from reconcile.commands.set_field import update_field

    return update_field(char_id, title, field, uri, project)


def watch_directory(path: str | os.PathLike[str], *, auto_upload: bool = True) -> Watching:
    """Watches the local root of a project from a thread of this process, and uploads files as they settle. With
    ``auto_upload=False`` it only logs what would be done. Stop it with ``stop()``, or use it as a context manager.

    Raises UsageError if the folder is not a project's local root, and ConfigError.
    """
    from reconcile.hooks.watching import Watching

    return Watching(path, auto_upload=auto_upload)


def __getattr__(name: str) -> Any:
    """Imports NotUploaded when it is first named, because that takes longer than everything else here."""
    if name != "NotUploaded":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from reconcile.hooks.errors import NotUploaded

    return NotUploaded


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
