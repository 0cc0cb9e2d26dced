"""A decorated function: it is called, bound, inspected and sent to a process pool like the function below it.

The hooks, which come after the function, are here too; what they need is imported when a function has returned.
"""

from __future__ import annotations

import functools
import os
import sys
from types import MethodType

from reconcile.core.errors import UsageError
from reconcile.core.portable import pickled

# A workflow pays for what is imported here each time it starts, whether or not it calls a decorated function.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import CodeType
    from typing import Any, Self, TypeAlias

    from reconcile.hooks.calls import Answer, CharacterOf, Returned
    from reconcile.hooks.errors import Manner

    Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
    Hook: TypeAlias = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any], Any]
    """Called with the function, the arguments by position and by name, and what it returned; gives what the caller
    gets."""

UPLOADING = "auto_upload_to_gcs"
SYNCING = "sync_upsert"
# As in inspect, where they are CO_GENERATOR, CO_COROUTINE and CO_ASYNC_GENERATOR.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


class Wrapper:
    """A function and the hook that comes after it. A plain function could not be pickled: pickle looks it up by its
    name, which is that of the function below, even if the wrapped one has another name, or is in another module.
    """

    __defaults__ = None
    __kwdefaults__ = None

    def __init__(self, function: Callable[..., Any], hook: Hook) -> None:
        self.__name__ = self.__qualname__ = name_of(function)
        functools.update_wrapper(self, function)
        # After it, since what is wrapped may itself be one of these and have attributes of the same names.
        self._function = function
        self._hook = hook

    @property
    def __code__(self) -> CodeType:
        """By its flags `inspect` knows whether a call gives a coroutine."""
        return (Wrapper._later if _flags(self._function) & _COROUTINE else Wrapper.__call__).__code__

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        value = self._function(*args, **kwargs)
        if hasattr(value, "__await__"):
            return self._later(args, kwargs, value)
        return self._hook(self._function, args, kwargs, value)

    async def _later(self, args: tuple[Any, ...], kwargs: dict[str, Any], value: Awaitable[Any]) -> Any:
        made = await value

        from reconcile.hooks.aside import aside

        return await aside(lambda: self._hook(self._function, args, kwargs, made))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<{self.__qualname__}, decorated by reconcile>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """By the name under which it is found; without one, by its function and its hook."""
        hook, module, name = pickled(self._hook), self.__module__, self.__qualname__
        if _looked_up(module, name) is not self:
            if hook is not None and pickled(self._function) is not None:
                return Wrapper, (self._function, self._hook)
            module, name = self._place()
        return _named, (module, name, hook)

    def _place(self) -> tuple[str, str]:
        """The module and the name under which it is. Raises PicklingError if it has none."""
        for module in (self.__module__, "__main__", *sys.modules):
            for name, value in list(vars(sys.modules.get(module, sys)).items()):
                if value is self:
                    return module, name
        from pickle import PicklingError

        raise PicklingError(
            f"{self.__qualname__} cannot be sent to another process: it is not a module's, and what it was made of"
            " cannot be sent either; define it in a module, and not in a function"
        )


def _named(module: str, name: str, hook: bytes | None) -> Any:
    """The decorated function of that name in this process, which is wrapped as it was in the other if it is not yet."""
    import importlib

    importlib.import_module(module)
    found = _looked_up(module, name)
    if found is None:
        raise AttributeError(f"module {module!r} has no decorated function {name!r}")
    if isinstance(found, Wrapper) or hook is None:
        return found
    import pickle

    return Wrapper(found, pickle.loads(hook))


def _looked_up(module: str, name: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def uploading(asset_type: str | None, char_id: CharacterOf | None, manner: Manner) -> Decorator:
    """The decorator that uploads what a function returns. Raises UsageError for options that cannot be right."""
    if char_id is not None and not callable(char_id):
        raise UsageError(
            f"@{UPLOADING}: char_id is {char_id!r}", hint="give a function of the call's arguments, or leave it out"
        )
    hook = functools.partial(_upload, asset_type=asset_type, char_id=char_id, manner=manner)
    return functools.partial(_wrapped, hook=hook, decorator=UPLOADING)


def syncing(manner: Manner) -> Decorator:
    """The decorator that lets the cloud follow an upsert."""
    return functools.partial(_wrapped, hook=functools.partial(_sync, manner=manner), decorator=SYNCING)


def _wrapped(function: Any, hook: Hook, decorator: str) -> Callable[..., Any]:
    """The decorated function. Raises UsageError for what cannot be decorated."""
    if not callable(function):
        below = " below @classmethod" if isinstance(function, classmethod) else ""
        raise UsageError(
            f"@{decorator} was given {type(function).__name__}, which is not a function",
            hint=f"write @{decorator}(…){below} right above the function",
        )
    if _flags(function) & (_GENERATOR | _ASYNC_GENERATOR):
        raise UsageError(
            f"@{decorator}: {name_of(function)} is a generator function, so there is no one moment at which its files"
            " are done",
            hint="decorate a function that returns the list of paths",
        )
    return Wrapper(function, hook)


def _upload(
    function: Any, args: Any, kwargs: Any, value: Any, *, asset_type: str | None, char_id: Any, manner: Manner
) -> Any:
    """The value with the URIs of its files. The function has returned: nothing may lose what it made any more."""
    if value is None:
        return None
    returned: Returned | None = None

    def handed_over() -> Answer:
        from reconcile.hooks.calls import Call, arguments, character, read
        from reconcile.hooks.waiting import hand_over

        nonlocal returned
        returned = read(value, name_of(function))
        owner = character(arguments(function, args, kwargs), char_id, name_of(function)) if returned.paths else None
        uris, problems = hand_over(Call(returned.paths, owner, asset_type), manner)
        return uris, {**returned.wrong, **problems}

    name = os.fspath(value) if isinstance(value, str | os.PathLike) else f"what {name_of(function)} made"
    uris = manner.guarded(handed_over, value, name)
    return (value, None) if returned is None else returned.with_uris(uris)


def _sync(function: Any, args: Any, kwargs: Any, value: Any, *, manner: Manner) -> Any:
    """The value as it is, once the cloud is in step with what was upserted. The upsert is done: nothing may undo it."""

    def followed() -> Answer:
        from reconcile.hooks.calls import arguments, upserted
        from reconcile.hooks.waiting import hand_over

        return hand_over(upserted(arguments(function, args, kwargs), name_of(function)), manner)

    manner.guarded(followed, value, f"what {name_of(function)} was given")
    return value


def name_of(function: Callable[..., Any]) -> str:
    """How to call the function in a sentence."""
    return str(getattr(function, "__qualname__", None) or type(function).__name__)


def _flags(function: Any) -> int:
    """Those of the code that a call runs: also of a partial, and of an object that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    if not hasattr(function, "__code__") and not hasattr(function, "__func__"):
        function = getattr(type(function), "__call__", None)  # noqa: B004 not whether it is callable, but what its call is
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return getattr(code, "co_flags", 0)
