"""Worlds, projects and stores that tests build on. CONTRIBUTING.md, "Adding a test", says which to take."""
