"""Adapts the options that typer makes.

Unlike in typer, pydantic does not validate their values, because importing it takes a fifth of the time of a plan that
finds nothing to do. And --help describes them for users: without Python types, and without brackets within brackets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, get_args, get_origin


def unvalidated(params: list[Any]) -> list[Any]:
    """Makes options accept without validation what was not given, and what already has the declared type: texts,
    choices, defaults. Every other value is left to typer."""
    for param in params:
        if "process_value" not in vars(param):
            param.process_value = partial(_processed, param, param.process_value)
    return params


def plain(params: list[Any]) -> list[Any]:
    """Makes --help show a single word for the value of options and arguments: ``N``, ``FILE``."""
    for param in params:
        param._get_number_range_help_str = _nothing
        if getattr(param, "is_flag", False) or getattr(param, "count", False):
            param.metavar = ""
        if param.param_type_name == "argument":
            param.get_usage_pieces = partial(_usage, param)
            param.display_type_rich = _nothing
    return params


def hiding(panels: Sequence[str], params: list[Any]) -> list[Any]:
    """Hides the options of these panels in --help."""
    for param in params:
        param.hidden = param.hidden or getattr(param, "rich_help_panel", None) in panels
    return params


def arranged(panels: Sequence[str], params: list[Any]) -> list[Any]:
    """Sorts options: those of these panels are last, in this order."""
    rank: dict[str | None, int] = {panel: number for number, panel in enumerate(panels)}
    return sorted(params, key=lambda param: rank.get(getattr(param, "rich_help_panel", None), -1))


def _usage(param: Any, _context: Any) -> list[str]:
    name = (param.metavar or param.name.upper()) + ("..." if param.nargs != 1 else "")
    return [name if param.required else f"[{name}]"]


def _nothing(*_: Any, **__: Any) -> None:
    """Returns no word."""


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
