"""Checks the project's rules that no other tool checks: the voice of messages, how large and unique things are, and
that what Windows does differently is done in the modules for it.

``python -m tools.check_house`` prints what breaks them; ``make check`` runs it. The exceptions are listed below, each
with its reason; the lists should become empty.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from reconcile.core import errors
from reconcile.core.errors import ReconcileError

ROOT = Path(__file__).resolve().parent.parent
LINES, ATTRIBUTES = 400, 12

# Each with its reason. What keeps to the rule again is reported, and must be removed from the list.
_DOCUMENT = "its attributes are the fields of a document, in the order in which they are written"
LONG: dict[str, str] = {}
WIDE: dict[str, str] = {
    "reconcile/cli/options.py:Common": "one attribute an option of every command",
    "reconcile/config/settings.py:Settings": "one attribute a key of the rules file, checked and with its default",
    "reconcile/run_options.py:RunOptions": "one attribute an option that a run takes",
    "reconcile/commands/nightly.py:Nightly": "one attribute a value that a scheduler's files hold",
    "reconcile/core/changes.py:_OfField": _DOCUMENT,
    "reconcile/core/context.py:Context": "what a run decides by, constant while it runs",
    "reconcile/core/history.py:PastChange": _DOCUMENT,
    "reconcile/core/history.py:PastRun": _DOCUMENT,
    "reconcile/core/plan.py:Plan": _DOCUMENT,
    "reconcile/core/proof.py:Proved": _DOCUMENT,
    "reconcile/core/proof.py:Certificate": _DOCUMENT,
    "reconcile/core/proof.py:Verification": _DOCUMENT,
    "reconcile/core/watch_report.py:WatchEvent": _DOCUMENT,
}
SAME: dict[str, str] = {}
# Modules that may rename, replace, remove, flush or open files by the system's own functions. Others go through
# `adapters/files.py`, which tries again if a program has the file open, and disturbs no such program.
_DEVICE = "a terminal or the null device, and no file"
ROOMS: dict[str, str] = {
    "reconcile/__main__.py": _DEVICE,
    "reconcile/cli/asking.py": _DEVICE,
    "reconcile/cli/run.py": _DEVICE,
    "reconcile/views/streams.py": _DEVICE,
    "reconcile/adapters/files.py": "the room for it",
    "reconcile/adapters/posix.py": "the room for it",
    "reconcile/adapters/windows.py": "the room for it",
    "reconcile/adapters/embedded/objects.py": "a blob that somebody reads is left, and not waited for",
    "reconcile/adapters/local/folder.py": "names in a folder that is open, with the patience of the system",
    "reconcile/adapters/local/writing.py": "flushes the file that it has written",
    "reconcile/adapters/state/folder.py": "opens folders",
    "reconcile/adapters/state/journal.py": "flushes the file that it appends to",
}
# Functions that may wait without a time limit. Elsewhere such a wait would keep Windows from noticing Ctrl-C, which it
# does not do while it waits for a thread.
_DONE = "what it asks is done"
WAITS: dict[str, str] = {
    "reconcile/adapters/local/store.py:LocalFiles._settled_rows": "sleeps, and for the time of `settle` at most",
    "reconcile/adapters/local/writing.py:LocalPlaces._alone": "only workers run it",
    "reconcile/adapters/room.py:lacks": "the threads have been told to end",
    "reconcile/adapters/workers.py:Workers._next": "only workers run it",
    "reconcile/adapters/workers.py:awaited": _DONE,
    "reconcile/adapters/workers.py:results": _DONE,
    "reconcile/adapters/children.py:ended": "POSIX alone, which hears signals meanwhile",
    "reconcile/cli/signals.py:stopping.watch": "a thread of its own runs it",
    "reconcile/adapters/apart.py:is_needed": "the thread has nothing to do",
    "reconcile/hooks/waiting.py:_attempted": _DONE,
}
_OF_FILES = {"fsync", "link", "open", "remove", "rename", "renames", "replace", "unlink"}
_OF_PATHS = {"rename", "unlink"}
_ENDLESS = {"join", "result", "wait"}


class Lists(NamedTuple):
    """What may break a rule: modules that are too long, classes that are too wide, names of several classes, modules
    that touch files by the system's own functions, functions that wait without a time limit."""

    long: Mapping[str, str] = LONG
    wide: Mapping[str, str] = WIDE
    same: Mapping[str, str] = SAME
    rooms: Mapping[str, str] = ROOMS
    waits: Mapping[str, str] = WAITS


_ERRORS = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, ReconcileError)}
_FIRST = {*_ERRORS, "Problem", "Kind", "Form", "error", "note", "warn", "Check", "Warned"}
# Names that begin a message with one capital letter.
_NAMES = ("Firestore",)


def problems(folder: Path, lists: Lists) -> Iterator[str]:
    """What breaks the rules in the modules below a folder, a line each."""
    places: dict[str, list[str]] = defaultdict(list)
    long, wide, rooms, waits = set(), set(), set(), set()
    for path in sorted(folder.rglob("*.py")):
        name, text = path.relative_to(folder.parent).as_posix(), path.read_text(encoding="utf-8")
        if text.count("\n") > LINES:
            long.add(name)
            if name not in lists.long:
                yield f"{name}: {text.count(chr(10))} lines, and a module has at most {LINES}"
        tree = ast.parse(text)
        held = _held(tree)
        for line, call in _file_calls(tree):
            rooms.add(name)
            if name not in lists.rooms:
                yield f"{name}:{line}: {call} outside of the rooms for it: use adapters/files.py"
        for line, function, call in _endless(tree):
            waits.add(f"{name}:{function}")
            if f"{name}:{function}" not in lists.waits:
                yield f"{name}:{line}: {call} in {function} has no time-out: Ctrl-C is not heard meanwhile on Windows"
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name)
                count, known = len(_attributes(node)), f"{name}:{node.name}"
                if count > ATTRIBUTES:
                    wide.add(known)
                    if known not in lists.wide:
                        yield f"{known}: {count} attributes, and a class has at most {ATTRIBUTES}"
            elif isinstance(node, ast.Call):
                yield from (f"{name}:{line}: {why}" for line, why in _voice(node, held))
    twice = {name: where for name, where in places.items() if len(where) > 1}
    for name, where in twice.items():
        if name not in lists.same:
            yield f"{name} is the name of several classes: {', '.join(where)}"
    for listed, broken in zip(lists, (long, wide, set(twice), rooms, waits), strict=True):
        yield from (f"{name} keeps to the rule now: take it off the list" for name in sorted(set(listed) - broken))


def _attributes(node: ast.ClassDef) -> set[str]:
    """The fields of a struct, and what is assigned to ``self``."""
    fields = {
        each.target.id for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    return fields | {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute)
        and isinstance(each.ctx, ast.Store)
        and isinstance(each.value, ast.Name)
        and each.value.id == "self"
    }


def _file_calls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The calls of a module by which Python renames, replaces, removes, flushes or opens a file, with their lines."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        of, called = node.func.value, node.func.attr
        if isinstance(of, ast.Name) and of.id == "os":
            if called in _OF_FILES:
                yield node.lineno, f"os.{called}"
        elif isinstance(of, ast.Name) and of.id == "files":
            continue
        # The replace of a text has two arguments, that of a struct named ones; only a path's has a single argument.
        elif called in _OF_PATHS or (called == "replace" and len(node.args) == 1 and not node.keywords):
            yield node.lineno, f".{called}"


def _endless(node: ast.AST, inside: tuple[str, ...] = ()) -> Iterator[tuple[int, str, str]]:
    """The calls below a node that wait without a time limit, with their lines and the functions that they are in."""
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _endless(each, (*inside, each.name))
            continue
        if (
            isinstance(each, ast.Call)
            and isinstance(each.func, ast.Attribute)
            and each.func.attr in _ENDLESS
            and not each.args
            and not each.keywords
        ):
            yield each.lineno, ".".join(inside), f".{each.func.attr}()"
        yield from _endless(each, inside)


def _held(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """What is assigned to each name of a module, wherever in it: a message may be held in a variable first."""
    held: dict[str, list[ast.expr]] = defaultdict(list)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Name):
                    held[target.id].append(node.value)
    return held


def _voice(call: ast.Call, held: Mapping[str, list[ast.expr]]) -> Iterator[tuple[int, str]]:
    """What is wrong with the messages and hints that a call gets, directly or by a name."""
    called = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    given = [*call.args] if called in _FIRST else []
    given += [
        each.value for each in call.keywords if each.arg == "hint" or (called in _FIRST and each.arg == "message")
    ]
    for argument in given:
        texts = held.get(argument.id, []) if isinstance(argument, ast.Name) else [argument]
        for each in (choice for text in texts for choice in _choices(text)):
            said = _text(each)
            if said is None:
                continue
            first, last = said
            if (
                first[:1].isupper()
                and not first.startswith(_NAMES)
                and not (first[:2].isalpha() and first[:2].isupper())
            ):
                yield each.lineno, f"a message begins in lower case: {first[:60]!r}"
            if last.endswith(".") and not last.endswith(".."):
                yield each.lineno, f"a message has no full stop at its end: {last[-60:]!r}"


def _choices(node: ast.expr) -> Iterator[ast.expr]:
    """The texts that an argument can be: both of ``a if c else b``."""
    if isinstance(node, ast.IfExp):
        yield from _choices(node.body)
        yield from _choices(node.orelse)
    else:
        yield node


def _text(node: ast.expr) -> tuple[str, str] | None:
    """The literal beginning and end of a text; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value, node.value
    if isinstance(node, ast.JoinedStr) and node.values:
        ends = (node.values[0], node.values[-1])
        first, last = (each.value if isinstance(each, ast.Constant) else "" for each in ends)
        return str(first), str(last)
    return None


def main() -> int:
    """Prints what breaks the rules."""
    found = list(problems(ROOT / "reconcile", Lists()))
    sys.stderr.writelines(f"{each}\n" for each in found)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
