"""Decorated functions, which can be called, bound, inspected and sent to a process pool like the functions in them.

What is done after a call needs more modules, which are imported when the function has returned.
"""

from __future__ import annotations

import functools
import os
import sys
from types import MethodType

from reconcile.core.errors import UsageError, as_ours
from reconcile.core.portable import pickled
from reconcile.hooks.errors import UPLOADING, HookOptions

# What is imported here costs each start of a workflow time, even if it calls no decorated function.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import CodeType
    from typing import Any, Self

    from reconcile.hooks.calls import Returned

# As in inspect, where they are CO_GENERATOR, CO_COROUTINE and CO_ASYNC_GENERATOR.
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


class Wrapper:
    """A function and the options of the hook that is called after it. It is a class because a plain function could not
    be pickled: pickle would look it up by the name of the function in it, although it may be bound to another name or
    module.
    """

    __defaults__ = None
    __kwdefaults__ = None

    def __init__(self, function: Any, options: HookOptions) -> None:
        """Raises UsageError for what cannot be decorated."""
        if not callable(function):
            below = " below @classmethod" if isinstance(function, classmethod) else ""
            raise UsageError(
                f"@{options.name} was given {type(function).__name__}, which is not a function",
                hint=f"write @{options.name}(…){below} right above the function",
            )
        if _flags(function) & (_GENERATOR | _ASYNC_GENERATOR):
            raise UsageError(
                f"@{options.name}: {_name_of(function)} is a generator function, so there is no one moment at which its"
                " files are done",
                hint="decorate a function that returns the list of paths",
            )
        self.__name__ = self.__qualname__ = _name_of(function)
        functools.update_wrapper(self, function)
        # Set afterwards, because the function may itself be a Wrapper, with attributes of the same names.
        self._function = function
        self._options = options

    @property
    def __code__(self) -> CodeType:
        """Code with the flags by which `inspect` knows whether a call returns a coroutine."""
        return (Wrapper._later if _flags(self._function) & _COROUTINE else Wrapper.__call__).__code__

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        value = self._function(*args, **kwargs)
        if hasattr(value, "__await__"):
            return self._later(args, kwargs, value)
        return self._after(args, kwargs, value)

    async def _later(self, args: tuple[Any, ...], kwargs: dict[str, Any], value: Awaitable[Any]) -> Any:
        made = await value

        from reconcile.hooks.aside import aside

        return await aside(lambda: self._after(args, kwargs, made))

    def _after(self, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any) -> Any:
        """Hands over what a call that returned this value made or upserted, and returns what its caller gets. Since the
        function has returned, nothing that fails here may lose what it made. Raises NotUploaded."""
        function, options = self._function, self._options
        uploads, name = options.name == UPLOADING, _name_of(function)
        if uploads and value is None:
            return None
        whole = f"what {name} {'made' if uploads else 'was given'}"  # in messages, if no single file is to blame
        if uploads and isinstance(value, str | os.PathLike):
            whole = os.fspath(value)
        returned: Returned | None = None
        uris: dict[str, str] = {}
        try:
            from reconcile.hooks.calls import Call, arguments, character, read, upserted
            from reconcile.hooks.waiting import hand_over

            if uploads:
                returned = read(value, name)
                owner = character(arguments(function, args, kwargs), options.char_id, name) if returned.paths else None
                call = Call(returned.paths, owner, options.asset_type, wrong=returned.wrong)
            else:
                call = upserted(arguments(function, args, kwargs), name)
            uris, problems = hand_over(call, options)
        except Exception as error:  # noqa: BLE001 whatever fails, the caller must get what the workflow made
            problems = {whole: as_ours(error)}
        if problems:
            options.report(problems, uris, value)
        if not uploads:
            return value
        return (value, None) if returned is None else returned.with_uris(uris)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<{self.__qualname__}, decorated by reconcile>"

    def __copy__(self, _memo: Any = None) -> Self:
        return self

    __deepcopy__ = __copy__

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles its function and its options; if one of them cannot be pickled, the name under which it is found."""
        options = pickled(self._options)
        if options is not None and pickled(self._function) is not None:
            return Wrapper, (self._function, self._options)
        return _named, (*self._place(), options)

    def _place(self) -> tuple[str, str]:
        """Returns the module and the name under which it is found. Raises PicklingError if there are none."""
        if _looked_up(self.__module__, self.__qualname__) is self:
            return self.__module__, self.__qualname__
        for module in (self.__module__, "__main__", *sys.modules):
            for name, value in list(vars(sys.modules.get(module, sys)).items()):
                if value is self:
                    return module, name
        from pickle import PicklingError

        raise PicklingError(
            f"{self.__qualname__} cannot be sent to another process: it is not at the top of a module, and what it was"
            " made of cannot be sent either; define it at the top of a module, not in a function"
        )


def _named(module: str, name: str, options: bytes | None) -> Any:
    """Unpickles: returns the decorated function of that name in this process, wrapped here if it is not yet."""
    import importlib
    import pickle

    importlib.import_module(module)
    found = _looked_up(module, name)
    if found is None:
        raise AttributeError(f"module {module!r} has no decorated function {name!r}")
    return found if isinstance(found, Wrapper) or options is None else Wrapper(found, pickle.loads(options))


def _looked_up(module: str, name: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _name_of(function: Callable[..., Any]) -> str:
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
