"""TOML tables that know their lines: every complaint says file, line, what is wrong, and what would be right."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from reconcile.core.errors import ConfigError

_E = TypeVar("_E", bound=Enum)
_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_\-.\"' ]+?)\s*\]")
_MISSING = object()


class RulesFile:
    """A parsed rules file and the text it came from."""

    def __init__(self, path: Path, text: str, values: dict[str, Any]) -> None:
        self.path = path
        self._lines = text.splitlines()
        self._values = values

    @classmethod
    def parse(cls, path: Path, data: bytes) -> RulesFile:
        """Raises ConfigError if the bytes are no TOML."""
        try:
            text = data.decode("utf-8-sig")
            values = tomllib.loads(text)
            if _holds_endless_number(values):
                raise ValueError
            return cls(path, text, values)
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise ConfigError(f"{path}:{line}: is not UTF-8 text", hint="save the file as UTF-8") from error
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
            line = int(found.group(1)) if found else len(text.splitlines())
            what = re.sub(r"\s*\(at .*\)", "", str(error))
            hint = "paths with backslashes go between single quotes: 'C:\\oo\\bar'"
            raise ConfigError(f"{path}:{max(line, 1)}: is not TOML: {what}", hint=hint) from error
        except ValueError as error:
            # Python itself neither reads nor writes a number of so many digits.
            raise ConfigError(f"{path}:1: holds a number that no rule can mean", hint="write a smaller one") from error
        except RecursionError as error:
            raise ConfigError(f"{path}:1: is nested too deep", hint="write tables and plain lists") from error

    def top(self, keys: set[str]) -> Table:
        """The whole file as a table with these keys."""
        return Table(self, "", 0, self._values).known(keys)

    def line(self, table: str, number: int, key: str | None) -> int:
        """Where a key of a table (the ``number``-th of an array of tables) stands; the table's own line else."""
        current, count, own = "", -1, 1
        for at, text in enumerate(self._lines, 1):
            found = _HEADER.match(text)
            if found:
                current = found.group(2).strip("\"'")
                count += current == table
                if not table and current == key:
                    return at
                own = at if current == table and count == number else own
            elif current == table and (not table or count == number) and key is not None and _is_key(text, key):
                return at
            elif not current and table and _is_key(text, table):
                own = at
        return own


class Table:
    """One table of the rules file; its getters check types and complain with the line."""

    def __init__(self, file: RulesFile, name: str, number: int, values: dict[str, Any]) -> None:
        self.file = file
        self.name = name
        self._number = number
        self._values = values

    def known(self, keys: set[str]) -> Table:
        """Raises ConfigError if the table has a key that is not one of these."""
        for key in self._values:
            if key not in keys:
                where = f"[{self.name}]" if self.name else "the rules file"
                near = difflib.get_close_matches(key, keys, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"{where} takes {', '.join(sorted(keys))}"
                raise self.error(key, f"unknown key {key!r} in {where}", hint)
        return self

    def error(self, key: str, what: str, right: str) -> ConfigError:
        """A complaint about a key of this table."""
        line = self.file.line(self.name, self._number, key)
        return ConfigError(f"{self.file.path}:{line}: {what}", hint=right)

    def has(self, key: str) -> bool:
        """Whether the key is written."""
        return key in self._values

    def table(self, name: str, keys: set[str]) -> Table:
        """A sub-table, empty if it is not written."""
        values = self._values.get(name, {})
        if not isinstance(values, dict):
            raise self.error(name, f"{name} is not a table", f"write [{name}] and its keys below it")
        return Table(self.file, name, 0, values).known(keys)

    def tables(self, name: str, keys: set[str]) -> list[Table]:
        """An array of tables."""
        values = self._values.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise self.error(name, f"{name} is not an array of tables", f"write [[{name}]], with double brackets")
        return [Table(self.file, name, number, value).known(keys) for number, value in enumerate(values)]

    def text(self, key: str, default: Any = _MISSING, *, numbers: bool = False) -> str:
        """A string (or, with ``numbers``, an integer as text)."""
        value = self._values.get(key, default)
        if value is _MISSING:
            raise self.error(key, f"a [[{self.name}]] has no {key}", f'write {key} = "…"')
        if numbers and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise self.error(key, f"{key} = {value!r} is not a text", f'write {key} = "…"')
        return value

    def texts(self, key: str, default: Iterable[str]) -> tuple[str, ...]:
        """A list of strings."""
        value = self._values.get(key, list(default))
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, f"{key} = {value!r} is not a list of texts", f'write {key} = ["…", "…"]')
        return tuple(value)

    def text_or_texts(self, key: str, default: str) -> tuple[str, ...]:
        """A string, as the only one of a list, or a list of strings."""
        value = self._values.get(key, default)
        listed = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str) for item in listed):
            what = f"{key} = {value!r} is neither a text nor a list of texts"
            raise self.error(key, what, f'write {key} = "…", or {key} = ["…", "…"]')
        return tuple(listed)

    def number(self, key: str, default: float) -> float:
        """A number."""
        value = self._values.get(key, default)
        try:
            if not isinstance(value, bool) and isinstance(value, int | float):
                return float(value)
        except OverflowError as error:
            raise self.error(key, f"{key} is too large a number", f"write {key} = {default:g}") from error
        raise self.error(key, f"{key} = {value!r} is not a number", f"write {key} = {default:g}")

    def flag(self, key: str, *, default: bool) -> bool:
        """true or false."""
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise self.error(
                key, f"{key} = {value!r} is neither true nor false", f"write {key} = {str(default).lower()}"
            )
        return value

    def choice(self, key: str, kind: type[_E], default: _E) -> _E:
        """One of an enum's values."""
        value = self._values.get(key, default.value)
        try:
            return kind(value)
        except ValueError as error:
            allowed = ", ".join(f'"{each.value}"' for each in kind)
            raise self.error(key, f"{key} = {value!r} is not one of {allowed}", f"write one of {allowed}") from error


def _holds_endless_number(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_endless_number, value.values()))
    if isinstance(value, list):
        return any(map(_holds_endless_number, value))
    return isinstance(value, int) and value.bit_length() > 14_000


def _is_key(line: str, key: str) -> bool:
    return re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line) is not None
