"""What workflow code imports: a decorator, a wrapper, a helper and a watcher. Nothing is loaded before one is named.

>>> @auto_upload_to_gcs(asset_type="anime_image")
... def generate_character_image(char_id: str) -> str: ...
>>> local_path, gcs_uri = generate_character_image("ai_hoshino")
"""

from __future__ import annotations

# typing takes longer to import than a workflow should pay for a decorator that it may never call.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from reconcile.hooks.api import auto_upload_to_gcs, sync_upsert, update_firestore_gcs_path, watch_directory
    from reconcile.hooks.errors import NotUploaded

__all__ = ["NotUploaded", "auto_upload_to_gcs", "sync_upsert", "update_firestore_gcs_path", "watch_directory"]


def __getattr__(name: str) -> Any:
    """Imports what is exported when it is first named."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "NotUploaded":
        from reconcile.hooks import errors as room
    else:
        from reconcile.hooks import api as room  # type: ignore[no-redef]
    return getattr(room, name)


def __dir__() -> list[str]:
    """What is exported, whether or not it was named before."""
    return sorted({*globals(), *__all__})
