"""A decorated function: called, bound and looked at like the function itself, and sent to a process pool like one."""

from __future__ import annotations

import functools
import sys
from types import MethodType

from reconcile.core.errors import UsageError

# A workflow pays for what is imported here each time it starts, whether or not it calls a decorated function.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import CodeType
    from typing import Any, Protocol, Self

    class Hook(Protocol):
        """What is done when a function has returned."""

        def after(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], value: Any) -> Any:
            """What the caller gets."""
            ...


# As in inspect, where they are CO_GENERATOR, CO_COROUTINE and CO_ASYNC_GENERATOR.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


class Wrapper:
    """A function and the hook that comes after it. A plain function could not be pickled: pickle looks it up by its
    name, which is that of the function below, also where the wrapped one has got another name, or is in another module.
    """

    __defaults__ = None
    __kwdefaults__ = None

    def __init__(self, function: Callable[..., Any], hook: Hook) -> None:
        self.__name__ = self.__qualname__ = name_of(function)
        functools.update_wrapper(self, function)
        # After it, since what is wrapped may itself be one of these and have attributes of the same names.
        self._function = function
        self._hook = hook
        self._is_async = is_async(function)

    @property
    def __code__(self) -> CodeType:
        """By its flags `inspect` knows whether a call gives a coroutine."""
        return Wrapper._later.__code__ if self._is_async else Wrapper.__call__.__code__

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if self._is_async:
            return self._later(args, kwargs)
        value = self._function(*args, **kwargs)
        if hasattr(value, "__await__"):
            return self._wait(args, kwargs, value)
        return self._hook.after(self._function, args, kwargs, value)

    async def _later(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await self._wait(args, kwargs, self._function(*args, **kwargs))

    async def _wait(self, args: tuple[Any, ...], kwargs: dict[str, Any], value: Awaitable[Any]) -> Any:
        made = await value

        from reconcile.hooks.aside import aside

        return await aside(lambda: self._hook.after(self._function, args, kwargs, made))

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
        hook = _packed(self._hook)
        if _looked_up(self.__module__, self.__qualname__) is self:
            return _named, (self.__module__, self.__qualname__, hook)
        if hook is not None and _packed(self._function) is not None:
            return Wrapper, (self._function, self._hook)
        for module in (self.__module__, "__main__", *sys.modules):
            for name, value in list(vars(sys.modules.get(module, sys)).items()):
                if value is self:
                    return _named, (module, name, hook)
        from pickle import PicklingError

        raise PicklingError(
            f"{self.__qualname__} cannot be sent to another process: it is no module's, and what it was made of cannot"
            " be sent either; define it in a module, and not in a function"
        )


def _named(module: str, name: str, hook: bytes | None) -> Any:
    """The one of that name here; where the function is not wrapped here yet, it is wrapped as there."""
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


def _packed(value: Any) -> bytes | None:
    import pickle

    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001 whatever an object of the program does when it is pickled
        return None


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
