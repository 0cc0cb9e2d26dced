"""The adapter for the workflow's JSON database."""
