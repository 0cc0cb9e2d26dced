"""What workflow code imports: a decorator, a wrapper, a helper and a watcher. Each loads what it needs when called.

>>> @auto_upload_to_gcs(asset_type="anime_image")
... def generate_character_image(char_id: str) -> str: ...
>>> local_path, gcs_uri = generate_character_image("ai_hoshino")
"""

from __future__ import annotations

from reconcile.hooks.api import auto_upload_to_gcs, sync_upsert, update_firestore_gcs_path, watch_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from reconcile.hooks.errors import NotUploaded

__all__ = ["NotUploaded", "auto_upload_to_gcs", "sync_upsert", "update_firestore_gcs_path", "watch_directory"]


def __getattr__(name: str) -> Any:
    """Imports the error when it is first named: it takes longer than all else here."""
    if name != "NotUploaded":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from reconcile.hooks.errors import NotUploaded

    return NotUploaded


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
