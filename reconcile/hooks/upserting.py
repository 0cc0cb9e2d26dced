"""``sync_upsert``: the workflow's own upsert runs, then the cloud follows."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping

from reconcile.core.errors import UsageError
from reconcile.hooks.errors import LOGGER, Manner
from reconcile.hooks.wrapping import Wrapper, check_function, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NAME = "sync_upsert"


def syncing(
    *, on_error: str, project: str | os.PathLike[str] | None, manner: Manner | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The wrapper. Raises UsageError for options that cannot be right."""
    chosen = manner or Manner.of(on_error, project, NAME)
    return functools.partial(_wrapped, hook=_Hook(chosen))


def _wrapped(function: Callable[..., Any], hook: _Hook) -> Callable[..., Any]:
    check_function(function, NAME)
    return Wrapper(function, hook)


class _Hook:
    def __init__(self, manner: Manner) -> None:
        self._manner = manner

    def after(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], value: Any) -> Any:
        """Brings the cloud in step with what was upserted, and gives what the upsert returned. The upsert is done: from
        here on nothing may undo that."""

        def followed() -> dict[str, str]:
            from reconcile.hooks.calls import arguments
            from reconcile.hooks.handover import Order
            from reconcile.hooks.waiting import hand_over

            char_id, asset = _read(arguments(function, args, kwargs), name_of(function))
            _tell_passed_over(asset, name_of(function))
            named = tuple((str(name), os.fspath(held)) for name, held in asset.items() if _is_file(held))
            order = Order(tuple(file for _, file in named), char_id, asset=asset, named=named)
            return hand_over(order, self._manner)

        self._manner.guarded(followed, value, f"what {name_of(function)} was given")
        return value


def _read(given: Mapping[str, Any], function: str) -> tuple[str, dict[str, Any]]:
    """The character and the map that were upserted: ``char_id`` by its name, or else the first text; the first mapping.
    Raises UsageError."""
    from reconcile.hooks.calls import CHAR_ID

    texts = (value for value in given.values() if isinstance(value, str))
    char_id = given[CHAR_ID] if CHAR_ID in given else next(texts, None)
    asset = next((value for value in given.values() if isinstance(value, Mapping)), None)
    if not isinstance(char_id, str) or not char_id.strip() or asset is None:
        raise UsageError(
            f"the call of {function} does not name a character and a map",
            hint='call it as upsert_asset(char_id, {"title": …, field: path})',
        )
    return char_id, {str(name): value for name, value in asset.items()}


def _tell_passed_over(asset: Mapping[str, Any], function: str) -> None:
    """Says which fields hold lists of files: an upsert sets fields of one file."""
    lists = [name for name, held in asset.items() if isinstance(held, list | tuple) and any(map(_is_file, held))]
    if lists:
        import logging

        logging.getLogger(LOGGER).warning(
            "%s was given a list of files for %s; a list sets no field, and the files are uploaded as the rules say",
            function,
            ", ".join(lists),
        )


def _is_file(value: Any) -> bool:
    is_path = isinstance(value, str | os.PathLike) and isinstance(os.fspath(value), str)
    return is_path and "\0" not in os.fspath(value) and os.path.isfile(value)
