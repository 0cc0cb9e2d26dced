"""The errors of the package, each of which goes through pickle and copy and back, whole."""

from __future__ import annotations

import copy
import importlib
import multiprocessing
import pickle
import pkgutil
import re
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

import reconcile
from reconcile.adapters.firestore.calls import CallFailed
from reconcile.adapters.lean_http import Failed, FailureKind
from reconcile.adapters.network import Fault, WayFault
from reconcile.core import errors
from reconcile.core.errors import ReconcileError, StoreUnavailable
from reconcile.core.portable import Foreign, Portable
from reconcile.hooks import NotUploaded

EXTRAS = {"apache_beam"}
STARTS = [name for name in ("spawn", "fork", "forkserver") if name in multiprocessing.get_all_start_methods()]
MADE: dict[type[BaseException], Callable[[], BaseException]] = {
    NotUploaded: lambda: NotUploaded(StoreUnavailable("it is down", hint="wait"), "a.png", {"b.png": "gs://b/b.png"}),
    CallFailed: lambda: CallFailed("UNAVAILABLE", "it is down", 3.0),
    Failed: lambda: Failed(
        FailureKind.SLOW, "it is down", WayFault(Fault.PASSING, "it is down", "wait"), reached=False
    ),
}
"""How those are made that do not take one text."""


def all_modules() -> list[Any]:
    """All of ours, except for those that build on an extra that is not installed here."""
    found: list[Any] = []
    for module in pkgutil.walk_packages(reconcile.__path__, "reconcile."):
        try:
            found.append(importlib.import_module(module.name))
        except ModuleNotFoundError as missing:
            if missing.name not in EXTRAS:
                raise
    return found


def all_errors() -> list[type[BaseException]]:
    """Every exception class that a module of ours defines, at whatever depth."""
    all_modules()
    found: set[type[BaseException]] = set()
    waiting: list[type[BaseException]] = [BaseException]
    while waiting:
        for kind in type.__subclasses__(waiting.pop()):
            if kind not in found:
                found.add(kind)
                waiting.append(kind)
    ours = (kind for kind in found if kind.__module__.partition(".")[0] == "reconcile")
    return sorted(ours, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


def made(kind: type[BaseException]) -> BaseException:
    if kind in MADE:
        return MADE[kind]()
    return kind("it went wrong", hint="do this") if issubclass(kind, ReconcileError) else kind("it went wrong")


def told(error: BaseException) -> dict[str, Any]:
    """All that can be seen of an error, and of what it came from."""
    chain = {name: getattr(error, name) for name in ("__cause__", "__context__")}
    return {
        "type": type(error),
        "args": error.args,
        "text": str(error),
        "attributes": vars(error),
        "suppressed": error.__suppress_context__,
        **{name: None if held is None else told(held) for name, held in chain.items()},
    }


def pickled(protocol: int) -> Callable[[Any], Any]:
    return lambda error: pickle.loads(pickle.dumps(error, protocol))


WAYS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {number}": pickled(number) for number in range(2, pickle.HIGHEST_PROTOCOL + 1)},
}


def test_the_walk_finds_the_errors_of_every_layer() -> None:
    found = {kind.__module__.split(".")[1] for kind in all_errors()}
    assert {"core", "adapters", "hooks", "views", "cli"} <= found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__qualname__)
def test_every_error_of_ours_comes_back_whole(kind: type[BaseException], way: str) -> None:
    error = made(kind)
    error.__cause__ = error.__cause__ or StoreUnavailable("the cause", hint="wait")
    error.__context__ = ValueError("the context")
    error.add_note("a note")
    error.extra = {"path": ("a", 1)}  # type: ignore[attr-defined]

    back = WAYS[way](error)

    assert back is not error
    assert isinstance(error, Portable)
    assert told(back) == told(error)


class Unpicklable(Exception):
    """As of a client that keeps its connection in its errors."""

    def __init__(self) -> None:
        super().__init__(threading.Lock())

    def __str__(self) -> str:
        return "no route to host"


class NeedsTwo(Exception):
    """Pickled with one argument, and made from two: its reader fails."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"{what} at {where}")


@pytest.mark.parametrize("foreign", [Unpicklable, lambda: NeedsTwo("refused", "port 1")])
def test_a_foreign_cause_that_cannot_be_pickled_leaves_its_text_and_its_own_cause(foreign: Any) -> None:
    cause = foreign()
    cause.__cause__ = OSError(111, "Connection refused")
    error = StoreUnavailable("it is down")
    error.__cause__ = cause

    back = pickle.loads(pickle.dumps(error))

    assert isinstance(back.__cause__, Foreign)
    assert str(back.__cause__) == f"{__name__}.{type(cause).__qualname__}: {cause}"
    assert isinstance(back.__cause__.__cause__, OSError)
    assert back.__cause__.__cause__.errno == 111


def test_the_cause_of_a_foreign_cause_goes_along() -> None:
    cause = ValueError("outer")
    cause.__cause__ = KeyError("inner")
    error = StoreUnavailable("it is down")
    error.__cause__ = cause
    assert told(pickle.loads(pickle.dumps(error))) == told(error)


def test_an_attribute_that_cannot_be_pickled_costs_no_more_than_itself() -> None:
    error = NotUploaded(StoreUnavailable("it is down"), "a.png", {})
    error.result = lambda: "a.png"
    notes = list(error.__notes__)

    back = pickle.loads(pickle.dumps(error))

    assert (back.path, back.code, back.result) == ("a.png", "unavailable", None)
    assert back.__notes__[:-1] == error.__notes__ == notes
    assert "`result` could not be sent" in back.__notes__[-1]


# -- what a traceback and a user's own code see --


def test_a_traceback_shows_the_hint_that_holds_now() -> None:
    error = StoreUnavailable("it is down", hint="wait")
    error.add_note("a note of a workflow's own")
    assert lines_of(error) == ["it is down", "hint: wait", "a note of a workflow's own"]
    error.hint = "ask the studio"
    assert lines_of(error) == ["it is down", "hint: ask the studio", "a note of a workflow's own"]
    error.hint = ""
    assert lines_of(error) == ["it is down", "a note of a workflow's own"]
    assert lines_of(StoreUnavailable("it is down")) == ["it is down"]


def test_another_process_gets_the_hint_once_and_can_change_it() -> None:
    back = pickle.loads(pickle.dumps(StoreUnavailable("it is down", hint="wait")))
    assert (back.hint, lines_of(back)) == ("wait", ["it is down", "hint: wait"])
    back.hint = "ask"
    assert lines_of(back) == ["it is down", "hint: ask"]


def lines_of(error: BaseException) -> list[str]:
    """What a traceback says, without the name of the class."""
    first, *rest = "".join(traceback.format_exception(error)).splitlines()
    return [first.partition(": ")[2], *rest]


def test_every_error_that_a_call_can_raise_is_exported_and_says_what_it_is() -> None:
    tree = {kind for kind in all_errors() if kind.__module__ == "reconcile.core.errors"}
    assert {getattr(reconcile, kind.__name__) for kind in tree} == tree
    assert all("__doc__" in vars(kind) for kind in tree)
    drawn = re.findall(r"[├└]── (\w+)|^(ReconcileError)$", str(errors.__doc__), re.MULTILINE)
    assert {"".join(each) for each in drawn} == {kind.__name__ for kind in tree}


# -- through the pools that workflows use --


def fails(number: int) -> int:
    if number == 1:
        cause = StoreUnavailable("it is down", hint="wait")
        raise NotUploaded(cause, "a.png", {"b.png": "gs://b/b.png"}) from cause
    return number


@pytest.mark.parametrize("start", STARTS)
def test_a_failure_in_a_process_pool_is_told_and_costs_no_other_call(start: str) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context(start)) as pool:
        running = [pool.submit(fails, number) for number in range(3)]
        with pytest.raises(NotUploaded, match="it is down") as caught:
            running[1].result(60)
        assert [running[0].result(60), running[2].result(60)] == [0, 2]
    error = caught.value
    assert (error.path, error.uris, error.code, error.hint) == (
        "a.png",
        {"b.png": "gs://b/b.png"},
        "unavailable",
        "wait",
    )


@pytest.mark.parametrize("start", STARTS)
def test_a_failure_in_a_pool_of_multiprocessing_is_told(start: str) -> None:
    with multiprocessing.get_context(start).Pool(1) as pool:
        with pytest.raises(NotUploaded) as caught:
            pool.apply_async(fails, (1,)).get(60)
        assert pool.apply_async(fails, (2,)).get(60) == 2
    assert caught.value.path == "a.png"
