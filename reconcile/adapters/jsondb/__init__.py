"""The workflow's JSON database."""
