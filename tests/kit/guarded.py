"""Worlds of which the credentials may read a part alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from reconcile.core.errors import AccessDenied
from reconcile.core.moment import Moment
from reconcile.core.rows import Document, RemoteObject
from tests.kit.world import World


class GuardedObjects:
    """A bucket whose permissions end at prefixes: a listing that would show what is ``denied`` is refused, or breaks
    off there after ``pages`` objects, and so is what is asked for by name."""

    def __init__(self, inner: Any, denied: Iterable[str], *, pages: int | None = None) -> None:
        self._inner = inner
        self.denied = tuple(denied)
        self.pages = pages

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def list(self, prefix: str = "", splits: Sequence[str] = ()) -> Iterator[RemoteObject]:
        shut = any(prefix.startswith(each) or each.startswith(prefix) for each in self.denied)
        if shut and self.pages is None:
            raise refusal(prefix)
        for count, found in enumerate(self._inner.list(prefix, splits)):
            if shut and count == self.pages:
                raise refusal(prefix)
            yield found
        if shut:
            raise refusal(prefix)

    def between(self, first: str, stop: str, prefix: str = "") -> Iterator[RemoteObject]:
        if any(prefix.startswith(each) or each.startswith(prefix) for each in self.denied):
            raise refusal(prefix)
        yield from self._inner.between(first, stop, prefix)

    def get(self, key: str) -> RemoteObject | None:
        if key.startswith(self.denied):
            raise refusal(key)
        found: RemoteObject | None = self._inner.get(key)
        return found


class GuardedRecords:
    """A database that does not show these documents; None is all of them."""

    def __init__(self, inner: Any, denied: Collection[str] | None) -> None:
        self._inner = inner
        self.denied = denied

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def ids(self, prefix: str = "", *, at: Moment | None = None) -> Iterator[str]:
        if self.denied is None:
            raise refusal("the collection")
        found: Iterator[str] = self._inner.ids(prefix, at=at)
        return found

    def read(self, ids: Collection[str] | None = None, *, at: Moment | None = None) -> Iterator[Document]:
        if self.denied is None or (self.denied and (ids is None or set(ids) & set(self.denied))):
            raise refusal("the collection" if self.denied is None else "a document")
        found: Iterator[Document] = self._inner.read(ids, at=at)
        return found


def refusal(name: str) -> AccessDenied:
    return AccessDenied(f"{name!r} is not for you", hint="Grant a role.")


def guard(world: World, *denied: str, pages: int | None = None, records: Collection[str] | None = ()) -> None:
    """Takes permissions away."""
    world.objects = GuardedObjects(world.objects, denied, pages=pages) if denied else world.objects  # type: ignore[assignment]
    world.records = GuardedRecords(world.records, records)  # type: ignore[assignment]
