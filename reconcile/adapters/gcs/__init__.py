"""The object store adapter for Google Cloud Storage."""
