"""How many examples a property is tried with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import settings

T = TypeVar("T", bound=Callable[..., Any])


def sparingly(percent: int) -> Callable[[T], T]:
    """Tries a part of the examples that a property usually gets, because each of them builds whole worlds. `make soak`
    tries many times as many."""
    return settings(max_examples=settings.default.max_examples * percent // 100)


def thoroughly(times: int) -> Callable[[T], T]:
    """Tries several times as many examples as a property usually gets, because each takes next to no time."""
    return settings(max_examples=settings.default.max_examples * times)
