"""The types of decorated functions. Only type checkers import this module.

The ignored overlaps are intended: a checker takes the first signature that fits, and None fits all that may be None.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar, TypeVarTuple, overload

P = ParamSpec("P")
R = TypeVar("R")
Rest = TypeVarTuple("Rest")
PathT = TypeVar("PathT", bound=str | os.PathLike[str])
UriT = TypeVar("UriT")
Later: TypeAlias = Callable[P, Coroutine[Any, Any, R]]
Paths: TypeAlias = list[PathT] | tuple[PathT, ...]
Pair: TypeAlias = tuple[PathT, UriT]
Pairs: TypeAlias = list[tuple[PathT, UriT]]
Gaps: TypeAlias = list[tuple[PathT | None, UriT | None]]


class Uploading(Protocol[UriT]):
    """A decorator that puts a URI next to each path. A tuple that holds only paths counts as several."""

    @overload
    def __call__(self, f: Callable[P, PathT], /) -> Callable[P, Pair[PathT, UriT]]: ...
    @overload
    def __call__(self, f: Callable[P, PathT | None], /) -> Callable[P, Pair[PathT, UriT] | None]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, f: Callable[P, Paths[PathT]], /) -> Callable[P, Pairs[PathT, UriT]]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, f: Callable[P, Paths[PathT] | None], /) -> Callable[P, Pairs[PathT, UriT] | None]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, f: Callable[P, list[PathT | None]], /) -> Callable[P, Gaps[PathT, UriT]]: ...
    @overload
    def __call__(self, f: Callable[P, tuple[PathT, *Rest]], /) -> Callable[P, tuple[PathT, UriT, *Rest]]: ...
    @overload
    def __call__(
        self, f: Callable[P, tuple[PathT, *Rest] | None], /
    ) -> Callable[P, tuple[PathT, UriT, *Rest] | None]: ...
    @overload
    def __call__(self, f: Later[P, PathT], /) -> Later[P, Pair[PathT, UriT]]: ...
    @overload
    def __call__(self, f: Later[P, PathT | None], /) -> Later[P, Pair[PathT, UriT] | None]: ...
    @overload
    def __call__(self, f: Later[P, Paths[PathT]], /) -> Later[P, Pairs[PathT, UriT]]: ...
    @overload
    def __call__(self, f: Later[P, Paths[PathT] | None], /) -> Later[P, Pairs[PathT, UriT] | None]: ...
    @overload
    def __call__(self, f: Later[P, list[PathT | None]], /) -> Later[P, Gaps[PathT, UriT]]: ...
    @overload
    def __call__(self, f: Later[P, tuple[PathT, *Rest]], /) -> Later[P, tuple[PathT, UriT, *Rest]]: ...
    @overload
    def __call__(self, f: Later[P, tuple[PathT, *Rest] | None], /) -> Later[P, tuple[PathT, UriT, *Rest] | None]: ...
