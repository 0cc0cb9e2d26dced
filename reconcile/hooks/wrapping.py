"""Decorated functions, which can be called, bound, inspected and sent to a process pool like the functions in them.

The hooks that are called after a function are here, too. What they need is imported when the function has returned.
"""

from __future__ import annotations

import functools
import os
import sys
from types import MethodType

from reconcile.core.errors import UsageError
from reconcile.core.portable import pickled

# What is imported here costs each start of a workflow time, even if it calls no decorated function.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import CodeType
    from typing import Any, Self, TypeAlias

    from reconcile.hooks.calls import Answer, CharacterOf, Returned
    from reconcile.hooks.errors import HookOptions

    Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
    Hook: TypeAlias = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any], Any]
    """Called with the function, its arguments by position and by name, and what it returned; returns what the caller
    gets."""

UPLOADING = "auto_upload_to_gcs"
SYNCING = "sync_upsert"
# As in inspect, where they are CO_GENERATOR, CO_COROUTINE and CO_ASYNC_GENERATOR.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


class Wrapper:
    """A function and the hook that is called after it. It is a class because a plain function could not be pickled:
    pickle would look it up by the name of the function in it, although it may be bound to another name or module.
    """

    __defaults__ = None
    __kwdefaults__ = None

    def __init__(self, function: Callable[..., Any], hook: Hook) -> None:
        self.__name__ = self.__qualname__ = name_of(function)
        functools.update_wrapper(self, function)
        # Set afterwards, because the function may itself be a Wrapper, with attributes of the same names.
        self._function = function
        self._hook = hook

    @property
    def __code__(self) -> CodeType:
        """Code with the flags by which `inspect` knows whether a call returns a coroutine."""
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
        """Pickles the name under which it is found; if there is none, its function and its hook."""
        hook, module, name = pickled(self._hook), self.__module__, self.__qualname__
        if _looked_up(module, name) is not self:
            if hook is not None and pickled(self._function) is not None:
                return Wrapper, (self._function, self._hook)
            module, name = self._place()
        return _named, (module, name, hook)

    def _place(self) -> tuple[str, str]:
        """Returns the module and the name under which it is found. Raises PicklingError if there are none."""
        for module in (self.__module__, "__main__", *sys.modules):
            for name, value in list(vars(sys.modules.get(module, sys)).items()):
                if value is self:
                    return module, name
        from pickle import PicklingError

        raise PicklingError(
            f"{self.__qualname__} cannot be sent to another process: it is not at the top of a module, and what it was"
            " made of cannot be sent either; define it at the top of a module, not in a function"
        )


def _named(module: str, name: str, hook: bytes | None) -> Any:
    """Unpickles: returns the decorated function of that name in this process, wrapped here if it is not yet."""
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


def uploading(asset_type: str | None, char_id: CharacterOf | None, options: HookOptions) -> Decorator:
    """Returns the decorator that uploads what a function returns. Raises UsageError for options that cannot be
    right."""
    if char_id is not None and not callable(char_id):
        raise UsageError(
            f"@{UPLOADING}: char_id is {char_id!r}", hint="give a function of the call's arguments, or leave it out"
        )
    hook = functools.partial(_upload, asset_type=asset_type, char_id=char_id, options=options)
    return functools.partial(_wrapped, hook=hook, decorator=UPLOADING)


def syncing(options: HookOptions) -> Decorator:
    """Returns the decorator that brings the cloud in step after an upsert."""
    return functools.partial(_wrapped, hook=functools.partial(_sync, options=options), decorator=SYNCING)


def _wrapped(function: Any, hook: Hook, decorator: str) -> Callable[..., Any]:
    """Returns the decorated function. Raises UsageError for what cannot be decorated."""
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
    function: Any, args: Any, kwargs: Any, value: Any, *, asset_type: str | None, char_id: Any, options: HookOptions
) -> Any:
    """Uploads the files in the value, and returns it with their URIs. Since the function has returned, nothing that
    fails here may lose what it made."""
    if value is None:
        return None
    returned: Returned | None = None

    def handed_over() -> Answer:
        from reconcile.hooks.calls import Call, arguments, character, read
        from reconcile.hooks.waiting import hand_over

        nonlocal returned
        returned = read(value, name_of(function))
        owner = character(arguments(function, args, kwargs), char_id, name_of(function)) if returned.paths else None
        uris, problems = hand_over(Call(returned.paths, owner, asset_type), options)
        return uris, {**returned.wrong, **problems}

    name = os.fspath(value) if isinstance(value, str | os.PathLike) else f"what {name_of(function)} made"
    uris = options.guarded(handed_over, value, name)
    return (value, None) if returned is None else returned.with_uris(uris)


def _sync(function: Any, args: Any, kwargs: Any, value: Any, *, options: HookOptions) -> Any:
    """Brings the cloud in step with what was upserted, and returns the value as it is. The upsert is done, whatever
    fails here."""

    def followed() -> Answer:
        from reconcile.hooks.calls import arguments, upserted
        from reconcile.hooks.waiting import hand_over

        return hand_over(upserted(arguments(function, args, kwargs), name_of(function)), options)

    options.guarded(followed, value, f"what {name_of(function)} was given")
    return value


def name_of(function: Callable[..., Any]) -> str:
    """Returns the name of the function in messages."""
    return str(getattr(function, "__qualname__", None) or type(function).__name__)


def _flags(function: Any) -> int:
    """Returns the flags of the code that a call runs, also for a partial and for an object with ``__call__``."""
    while isinstance(function, functools.partial):
        function = function.func
    if not hasattr(function, "__code__") and not hasattr(function, "__func__"):
        function = getattr(type(function), "__call__", None)  # noqa: B004 wanted is the method, not whether there is one
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return getattr(code, "co_flags", 0)
