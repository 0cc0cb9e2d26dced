"""Durations as people write them: ``90s``, ``15m``, ``26h``, ``7d``, ``1h30m``."""

from __future__ import annotations

import re

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST = 1e9  # about thirty years
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def parse_duration(text: str) -> float:
    """Returns the seconds of a duration. Raises ValueError, with a sentence for people, if it is not one."""
    written = text.strip().lower().replace(" ", "")
    parts = _PART.findall(written)
    if not parts or "".join(number + unit for number, unit in parts) != written:
        raise ValueError(f"{text!r} is not a length of time; write it as 90s, 15m, 26h or 1h30m")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds > _LONGEST:
        raise ValueError(f"{text!r} is too long a time")
    return seconds


def format_duration(seconds: float) -> str:
    """Returns a duration in its two largest units: ``1h 30m``, ``26h``, ``45s``; up to two days in hours."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for unit in "dhms" if left >= 48 * 3600 else "hms":
        count, left = divmod(left, _SECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"
