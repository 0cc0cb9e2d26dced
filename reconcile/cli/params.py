"""Options otherwise than typer makes them.

They need no validation: typer has pydantic look at each value, and importing that takes a fifth of a plan that finds
nothing to do. And "bool" is no word for a user."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args, get_origin


def unvalidated(params: list[Any]) -> list[Any]:
    """The same options, which let pass what was not given, and what is as it was declared: texts, choices, defaults.
    Every other value goes typer's way."""
    for param in params:
        if "process_value" not in vars(param):
            param.process_value = partial(_processed, param, param.process_value)
    return params


def without_types(params: list[Any]) -> list[Any]:
    """The same options, of which --help shows no type if they take no value."""
    for param in params:
        if getattr(param, "is_flag", False) or getattr(param, "count", False):
            param.metavar = ""
    return params


def _processed(param: Any, process: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    many = param.multiple or param.nargs == -1
    declared = getattr(getattr(param, "type_descriptor", None), "annotation", None)
    if param.required:
        return process(context, value)
    if value is None:
        value = () if many else None
    elif many and declared == list[str] and all(isinstance(each, str) for each in value):
        value = list(value)
    elif many or not _fits(value, declared):
        return process(context, value)
    return value if param.callback is None else param.callback(context, param, value)


def _fits(value: Any, declared: Any) -> bool:
    if get_origin(declared) is Literal:
        return isinstance(value, str) and value in get_args(declared)
    return type(value) in (str, int, float) and type(value) is declared
