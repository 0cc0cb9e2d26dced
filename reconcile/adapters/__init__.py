"""Adapters touch one outside world each; they know ports and core, never each other."""
