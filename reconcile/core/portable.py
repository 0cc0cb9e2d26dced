"""Exceptions that can be pickled, for process pools, and the causes of an exception."""

from __future__ import annotations

# A workflow pays for these imports when it decorates a function.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self

NOTES = "__notes__"


class Portable:
    """The base class of all our exceptions. It is unpickled without its ``__init__``, which may take any arguments.

    The type, ``args``, the attributes, the notes, and the causes and contexts are preserved. An attribute that cannot
    be pickled becomes None, with a note of its value; a foreign exception that cannot be pickled becomes a ``Foreign``
    one. Tracebacks are not sent.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        state: dict[str, bytes] = {}
        lost: list[str] = []
        for name, value in vars(self).items():
            packed = pickled(value)
            if packed is None:
                lost.append(f"`{name}` could not be sent to another process: {_shown(value)}")
                packed = pickled(None)
            state[name] = packed or b""
        if lost:
            state[NOTES] = pickled([*getattr(self, NOTES, ()), *lost]) or b""
        args = tuple(each if pickled(each) is not None else _shown(each) for each in self.args)  # type: ignore[attr-defined]
        return _rebuilt, (type(self), args, state, *_origin(self))

    def __copy__(self) -> Self:
        made = type(self).__new__(type(self), *self.args)  # type: ignore[attr-defined]
        made.args = self.args  # type: ignore[attr-defined]
        vars(made).update(vars(self))
        for name in ("__cause__", "__context__", "__suppress_context__", "__traceback__"):
            setattr(made, name, getattr(self, name))
        return made


class Foreign(Portable, Exception):
    """Stands for an exception that cannot be pickled: the text is its type and its message."""


def _rebuilt(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, bytes], *origin: Any) -> BaseException:
    import pickle

    made = kind.__new__(kind, *args)
    made.args = args
    vars(made).update({name: pickle.loads(packed) for name, packed in state.items()})
    return _came_from(made, *origin)


def _came_from(made: BaseException, *origin: Any) -> BaseException:
    made.__cause__, made.__context__, made.__suppress_context__ = origin
    return made


def _origin(error: Any) -> tuple[BaseException | None, BaseException | None, bool]:
    return _sendable(error.__cause__), _sendable(error.__context__), error.__suppress_context__


class _Sent:
    """A foreign exception in transit with its causes, which it would lose by itself."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        error, kind = self._error, type(self._error)
        packed = pickled(error) or pickled(Foreign(f"{kind.__module__}.{kind.__qualname__}: {_shown(error)}"))
        return _arrived, (packed, *_origin(error))


def _arrived(packed: bytes, *origin: Any) -> BaseException:
    import pickle

    return _came_from(pickle.loads(packed), *origin)


def _sendable(error: BaseException | None) -> Any:
    return error if error is None or isinstance(error, Portable) else _Sent(error)


def pickled(value: Any) -> bytes | None:
    """Returns the pickled value, or None if it cannot be pickled or unpickled."""
    import pickle

    try:
        packed = pickle.dumps(value)
        pickle.loads(packed)
    except Exception:  # noqa: BLE001 - whatever a foreign object does, the error that holds it must arrive
        return None
    return packed


def _shown(value: Any) -> str:
    try:
        return str(value) if isinstance(value, BaseException) else repr(value)
    except Exception:  # noqa: BLE001 - its text may fail too
        return f"a value of type {type(value).__name__}"


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yields the error and its origins, each once: causes, contexts, and errors that libraries keep in attributes."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
