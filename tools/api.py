"""Writes docs/api.md, the page of the Python interface, from signatures and docstrings.

``python -m tools.api`` writes it; a test keeps it current.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

import reconcile
import reconcile.hooks
from reconcile.core.errors import ReconcileError

FILE = Path(__file__).resolve().parent.parent / "docs" / "api.md"
WIDTH = 120
_HEAD = """\
# Python

<!-- Written by tools/api.py from the docstrings. -->

```python
from reconcile import Project, apply, plan

with Project.open(".").opened() as project:
    planned = plan(project, char_ids=["ai_hoshino"])
    print(planned)  # a line with the counts
    report = apply(planned)
    for asset in project.assets(char_ids=["ai_hoshino"]):
        print(asset.uri, asset.state.value)
```

Everything on this page, and nothing else, is covered by the [version policy](versions.md). What workflow code imports,
with examples, is in [hooks.md](hooks.md); the package is typed, so `mypy` and editors know it.
"""
_PARTS = {
    "Plans and runs": ("Project", "plan", "apply", "PlannedRun", "Report", "Finding", "RunOptions"),
    "Assets": ("Asset", "AssetState"),
    "Watching": ("watch", "WatchOptions"),
}
_ERRORS = """\
Whatever goes wrong is a `ReconcileError`, or one of the classes below it, all of which `reconcile` exports. In a
traceback the hint is below the message. Programs look at the class, or at `code`, which never changes; the sentences
may.

```python
from reconcile import LockHeld, Project, ReconcileError, StoreUnavailable, apply, plan

try:
    apply(plan(Project.open(".")))
except LockHeld:
    ...  # another run is at work, and does what this one would have done
except StoreUnavailable as error:
    ...  # error.transient is true: try again later
except ReconcileError as error:
    print(error.code, error.message, error.hint)
```
"""


def text() -> str:
    """The page."""
    lines = [_HEAD]
    for title, names in _PARTS.items():
        lines.append(f"## {title}\n")
        for name in names:
            # As it is defined: once the module of the same name is imported, `reconcile.watch` is that, which calls it.
            lines += _described(name, reconcile.__getattr__(name))
    lines.append("## In workflow code\n")
    for name in reconcile.hooks.__all__:
        lines += _described(name, getattr(reconcile.hooks, name), "reconcile.hooks.")
    lines += ["## Errors\n", _ERRORS, "| error | `code` | exit code | |", "|---|---|---|---|"]
    lines += _rows(ReconcileError, 0)
    lines.append("")
    return "\n".join(lines)


def exported() -> set[str]:
    """The names that ``reconcile`` exports and the page describes."""
    errors = {kind.__name__ for kind in _family(ReconcileError)}
    return errors | {name for names in _PARTS.values() for name in names}


def _described(name: str, item: Any, prefix: str = "reconcile.") -> Iterator[str]:
    yield f"### `{prefix}{name}`\n"
    if inspect.isclass(item) and issubclass(item, BaseException):
        yield f"A `{item.__mro__[1].__name__}`. {_words(item)}\n"
    elif inspect.isclass(item):
        yield f"{_words(item)}\n"
        yield from _fields(item)
        yield from _members(item)
    else:
        yield f"{_signature(name, item)}\n"
        yield f"{_words(item)}\n"


def _fields(kind: type) -> Iterator[str]:
    if issubclass(kind, Enum):
        yield "Values: " + ", ".join(f"`{each.value}`" for each in kind) + ".\n"
    elif issubclass(kind, msgspec.Struct):
        yield "Fields: " + ", ".join(f"`{name}: {_type(kind, name)}`" for name in kind.__struct_fields__) + ".\n"


def _type(kind: type, name: str) -> str:
    """The annotation as it is written in the source."""
    return next(str(vars(each)["__annotations__"][name]) for each in kind.__mro__ if _annotates(each, name))


def _annotates(kind: type, name: str) -> bool:
    return name in vars(kind).get("__annotations__", {})


def _members(kind: type) -> Iterator[str]:
    """The public methods and properties that the project defines, including inherited ones."""
    ours = [each for each in reversed(kind.__mro__) if each.__module__.startswith("reconcile.")]
    found: dict[str, Any] = {}
    for name, value in (each for kind in ours for each in vars(kind).items() if not each[0].startswith("_")):
        found.pop(name, None)  # a name that a class redefines is listed with that class
        found[name] = value
    for name, value in found.items():
        if isinstance(value, property):
            yield f"**`{name}`** · {_words(value)}\n"
        elif isinstance(value, classmethod) or inspect.isfunction(value):
            yield f"**`{name}`**\n"
            yield f"{_signature(f'{kind.__name__}.{name}', getattr(kind, name))}\n"
            yield f"{_words(value)}\n"


def _signature(name: str, item: Any) -> str:
    """The signature, over several lines if it is long."""
    signature = inspect.signature(item)
    given = _parts([each for each in signature.parameters.values() if each.name != "self"])
    answer = signature.return_annotation
    after = "" if answer is inspect.Signature.empty else f" -> {answer}"
    line = f"{name}({', '.join(given)}){after}"
    if len(line) > WIDTH - 20:
        line = "\n    ".join([f"{name}(", *(f"{each}," for each in given)]) + f"\n){after}"
    return f"```python\n{line}\n```"


def _parts(given: list[inspect.Parameter]) -> list[str]:
    """The parameters as they are written, with a star before keyword-only ones."""
    out: list[str] = []
    for each in given:
        if each.kind is inspect.Parameter.KEYWORD_ONLY and "*" not in out:
            out.append("*")
        annotation = "" if each.annotation is inspect.Parameter.empty else f": {each.annotation}"
        default = "" if each.default is inspect.Parameter.empty else f" = {_shown(each.default)}"
        out.append(f"{each.name}{annotation}{default}")
    return out


def _shown(default: Any) -> str:
    """A default value; a function by its name, if it has one."""
    return getattr(default, "__name__", repr(default)).replace("<lambda>", "…")


def _words(item: Any) -> str:
    """The docstring as Markdown, wrapped to the width of the other pages."""
    said = inspect.cleandoc(getattr(item, "__doc__", None) or "")
    assert said, f"{item} has no docstring"
    named = re.sub(rf"(?<![`\w])({'|'.join(_ERROR_NAMES)})(?![`\w])", r"`\1`", said)
    paragraphs = (re.sub(r"``(.+?)``", r"`\1`", each) for each in named.split("\n\n"))
    return "\n\n".join(
        textwrap.fill(" ".join(each.split()), WIDTH, break_long_words=False, break_on_hyphens=False)
        for each in paragraphs
    )


def _family(kind: type[ReconcileError]) -> Iterator[type[ReconcileError]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == ReconcileError.__module__:
            yield from _family(below)


_ERROR_NAMES = sorted((kind.__name__ for kind in _family(ReconcileError)), key=len, reverse=True)


def _rows(kind: type[ReconcileError], depth: int) -> Iterator[str]:
    indent = "&emsp;" * depth
    said = " ".join(_words(kind).split())
    yield f"| {indent}`{kind.__name__}` | `{kind.code}` | {int(kind.exit_code)} | {said} |"
    for below in kind.__subclasses__():
        if below.__module__ == ReconcileError.__module__:
            yield from _rows(below, depth + 1)


def main() -> int:
    """Writes the page."""
    FILE.write_text(text(), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
