"""Stores in one SQLite file each, for the demo, for tests and for those who have no cloud."""
