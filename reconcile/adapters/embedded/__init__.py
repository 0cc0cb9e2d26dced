"""Stores in one SQLite file each, for the demo, for tests and for use without a cloud."""
