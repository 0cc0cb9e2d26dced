"""What workflow code imports to have its files in the cloud."""

from reconcile.hooks import auto_upload_to_gcs, update_firestore_gcs_path

__all__ = ["auto_upload_to_gcs", "update_firestore_gcs_path"]
