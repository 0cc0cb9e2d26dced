"""A decorated function and its calls: of which kind it is, and what its arguments say of the character."""

from __future__ import annotations

import functools

from reconcile.core.errors import UsageError

# A workflow pays for what is imported here each time it starts, whether or not it calls a decorated function.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeAlias

    CharacterOf: TypeAlias = Callable[[Mapping[str, Any]], str | None]

CHAR_ID = "char_id"
# As in inspect, where they are CO_GENERATOR, CO_COROUTINE and CO_ASYNC_GENERATOR.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


def name_of(function: Callable[..., Any]) -> str:
    """How to call the function in a sentence."""
    return str(getattr(function, "__qualname__", None) or type(function).__name__)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether a call gives a coroutine: also of a partial, and of an object with a coroutine function to be called."""
    return bool(_flags(function) & _COROUTINE)


def _flags(function: Any) -> int:
    while isinstance(function, functools.partial):
        function = function.func
    if not hasattr(function, "__code__") and not hasattr(function, "__func__"):
        function = getattr(type(function), "__call__", None)  # noqa: B004 not whether it is callable, but what its call is
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return getattr(code, "co_flags", 0)


def check_function(function: Any, decorator: str) -> None:
    """Raises UsageError for what cannot be decorated."""
    if not callable(function):
        below = " below @classmethod" if isinstance(function, classmethod) else ""
        raise UsageError(
            f"@{decorator} was given {type(function).__name__}, which is no function",
            hint=f"write @{decorator}(…){below} right above the function",
        )
    if _flags(function) & (_GENERATOR | _ASYNC_GENERATOR):
        raise UsageError(
            f"@{decorator}: {name_of(function)} is a generator function, so there is no one moment at which its files"
            " are done",
            hint="decorate a function that returns the list of paths",
        )


def arguments(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The call's arguments by name, defaults too, with those of ``*args`` and ``**kwargs`` among them."""
    import inspect

    try:
        signature = inspect.signature(function)
        bound = signature.bind(*args, **kwargs)
    except (TypeError, ValueError):  # a function written in C may not say what it takes
        return dict(kwargs)
    bound.apply_defaults()
    out: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            out.update(value)
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            out.update({f"{name}[{at}]": each for at, each in enumerate(value)})
        else:
            out[name] = value
    return out


def character(given: Mapping[str, Any], chosen: CharacterOf | None, function: str) -> str | None:
    """The character that the call is about, or None where it does not say. Raises UsageError."""
    found = given.get(CHAR_ID) if chosen is None else chosen(given)
    if found is None or (isinstance(found, str) and found.strip()):
        return found
    raise UsageError(
        f"the call of {function} gives {found!r} as the character",
        hint="pass the id as text, or name it with @auto_upload_to_gcs(char_id=lambda arguments: …)",
    )
