"""The version, if everything can read it."""

VERSION = "0.1.0"
