"""When to colour: apart from `terminal`, for --help must not wait for rich."""

from __future__ import annotations

from enum import Enum


class Colour(Enum):
    """When to colour: ``auto`` is on a terminal without ``NO_COLOR``."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"
