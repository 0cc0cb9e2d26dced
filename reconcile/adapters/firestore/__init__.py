"""The record store adapter for Google Cloud Firestore."""
