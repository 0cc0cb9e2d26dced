"""The pipeline's ``upsert_asset``, which also brings the character in sync, and a folder that uploads what appears."""

import pipeline_db

from reconcile.hooks import sync_upsert, watch_directory

__all__ = ["upsert_asset", "watch_directory"]

upsert_asset = sync_upsert(pipeline_db.upsert_asset)
