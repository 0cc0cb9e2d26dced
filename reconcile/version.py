"""The version, in a module that everything can import."""

VERSION = "0.1.0"
