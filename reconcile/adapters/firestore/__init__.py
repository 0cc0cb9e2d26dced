"""The records: Google Cloud Firestore."""
