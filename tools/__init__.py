"""The developers' own scripts; no part of the package."""
