"""The bucket: Google Cloud Storage."""
