"""Fixtures of the whole suite: the servers that the real clients talk to. And how Hypothesis searches: the same
examples on every machine and in every run, without a clock."""

from hypothesis import settings

pytest_plugins = ["tests.servers.fixtures_gcs", "tests.servers.fixtures_firestore"]

settings.register_profile("default", deadline=None, max_examples=100, derandomize=True, print_blob=True, database=None)
settings.load_profile("default")
