"""``auto_upload_to_gcs``: the function runs, then its files are handed over."""

from __future__ import annotations

import functools
import os

from reconcile.core.errors import UsageError
from reconcile.hooks.errors import Manner
from reconcile.hooks.wrapping import Wrapper, check_function, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from reconcile.hooks.calls import CharacterOf, Returned

NAME = "auto_upload_to_gcs"


def uploading(
    asset_type: str | None,
    *,
    on_error: str,
    char_id: CharacterOf | None,
    project: str | os.PathLike[str] | None,
    manner: Manner | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The decorator. Raises UsageError for options that cannot be right."""
    if callable(asset_type):
        raise UsageError(f"@{NAME} was given a function", hint=f"write @{NAME}() with its parentheses")
    if char_id is not None and not callable(char_id):
        raise UsageError(
            f"@{NAME}: char_id is {char_id!r}", hint="give a function of the call's arguments, or leave it out"
        )
    hook = _Hook(asset_type, char_id, manner or Manner.of(on_error, project, NAME))
    return functools.partial(_wrapped, hook=hook)


def _wrapped(function: Callable[..., Any], hook: _Hook) -> Callable[..., Any]:
    check_function(function, NAME)
    return Wrapper(function, hook)


class _Hook:
    def __init__(self, asset_type: str | None, char_id: CharacterOf | None, manner: Manner) -> None:
        self._asset_type = asset_type
        self._char_id = char_id
        self._manner = manner

    def after(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], value: Any) -> Any:
        """What the caller gets. The function has returned: from here on nothing may lose what it made."""
        if value is None:
            return None
        returned: Returned | None = None

        def handed_over() -> dict[str, str]:
            from reconcile.hooks.calls import arguments, character, read
            from reconcile.hooks.handover import Order
            from reconcile.hooks.waiting import hand_over

            nonlocal returned
            returned = read(value, name_of(function))
            order = Order(())
            if returned.paths:
                owner = character(arguments(function, args, kwargs), self._char_id, name_of(function))
                order = Order(returned.paths, owner, self._asset_type)
            return hand_over(order, self._manner, returned.wrong)

        name = os.fspath(value) if isinstance(value, str | os.PathLike) else f"what {name_of(function)} made"
        uris = self._manner.guarded(handed_over, value, name)
        if returned is None:
            return value, None
        return returned.with_uris(uris)
