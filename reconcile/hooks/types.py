"""The types of what the decorators make of a function; imported by type checkers alone.

The ignored overlaps are meant: a checker takes the first signature that fits, and None fits all that may be None.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar, TypeVarTuple, overload

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Rest = TypeVarTuple("Rest")
PathT = TypeVar("PathT", bound=str | os.PathLike[str])
UriT = TypeVar("UriT")
Later: TypeAlias = Coroutine[Any, Any, T]


class Same(Protocol):
    """A decorator that leaves a function's type as it is."""

    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]: ...


class Uploading(Protocol[UriT]):
    """A decorator that puts the URI beside each path. A tuple of nothing but paths counts as several."""

    @overload
    def __call__(self, function: Callable[P, PathT], /) -> Callable[P, tuple[PathT, UriT]]: ...
    @overload
    def __call__(self, function: Callable[P, PathT | None], /) -> Callable[P, tuple[PathT, UriT] | None]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[P, list[PathT]], /) -> Callable[P, list[tuple[PathT, UriT]]]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, list[PathT] | None], /
    ) -> Callable[P, list[tuple[PathT, UriT]] | None]: ...
    @overload
    def __call__(
        self, function: Callable[P, list[PathT | None]], /
    ) -> Callable[P, list[tuple[PathT | None, UriT | None]]]: ...
    @overload
    def __call__(self, function: Callable[P, tuple[PathT, ...]], /) -> Callable[P, list[tuple[PathT, UriT]]]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[P, tuple[PathT, *Rest]], /) -> Callable[P, tuple[PathT, UriT, *Rest]]: ...
    @overload
    def __call__(
        self, function: Callable[P, tuple[PathT, *Rest] | None], /
    ) -> Callable[P, tuple[PathT, UriT, *Rest] | None]: ...
    @overload
    def __call__(self, function: Callable[P, Later[PathT]], /) -> Callable[P, Later[tuple[PathT, UriT]]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Later[PathT | None]], /
    ) -> Callable[P, Later[tuple[PathT, UriT] | None]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Later[list[PathT]]], /
    ) -> Callable[P, Later[list[tuple[PathT, UriT]]]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Later[list[PathT] | None]], /
    ) -> Callable[P, Later[list[tuple[PathT, UriT]] | None]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Later[list[PathT | None]]], /
    ) -> Callable[P, Later[list[tuple[PathT | None, UriT | None]]]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Later[tuple[PathT, ...]]], /
    ) -> Callable[P, Later[list[tuple[PathT, UriT]]]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Later[tuple[PathT, *Rest]]], /
    ) -> Callable[P, Later[tuple[PathT, UriT, *Rest]]]: ...
    @overload
    def __call__(
        self, function: Callable[P, Later[tuple[PathT, *Rest] | None]], /
    ) -> Callable[P, Later[tuple[PathT, UriT, *Rest] | None]]: ...
