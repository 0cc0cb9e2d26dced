"""TOML tables that know their lines: every error says file, line, what is wrong, and what would be right."""

from __future__ import annotations

import datetime
import difflib
import re
import tomllib
from enum import Enum, EnumMeta
from pathlib import Path
from typing import Any

import msgspec

from reconcile.core.errors import ConfigError

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_\-.\"' ]+?)\s*\]")
_MISSING = object()
Texts = tuple[str, ...]
_KINDS: dict[Any, tuple[str, str]] = {
    str: ("not a text", '"…"'),
    int | str: ("not a text", '"…"'),
    Texts: ("not a list of texts", '["…", "…"]'),
    str | Texts: ("neither a text nor a list of texts", '"…", or {key} = ["…", "…"]'),
    float: ("not a number", "{default}"),
    bool: ("neither true nor false", "{default}"),
    datetime.date: ("not a day", "2027-03-01"),
}
"""For each type, what a message says about a value of another type, and what would be right."""


class RulesFile(msgspec.Struct, frozen=True):
    """A rules file as its lines, without their ends."""

    path: Path
    lines: list[str]

    @classmethod
    def parse(cls, path: Path, data: bytes, keys: set[str]) -> Table:
        """Parses TOML with these keys and tables at its top. Raises ConfigError if the data is not such TOML."""
        try:
            text = data.decode("utf-8-sig")
            values = tomllib.loads(text)
            repr(values)  # raises ValueError for a hex number with more digits than an error could show
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
            # Python itself neither reads nor writes a number with that many digits.
            raise ConfigError(f"{path}:1: holds a number that no rule can mean", hint="write a smaller one") from error
        except RecursionError as error:
            raise ConfigError(f"{path}:1: is nested too deep", hint="write tables and plain lists") from error
        return Table(cls(path, text.splitlines()), "", 0, values).known(keys)

    def line(self, table: str, number: int, key: str) -> int:
        """Returns the line of a key of a table (the ``number``-th of an array of tables), or else the table's own."""
        current, count, own = "", -1, 1
        for at, text in enumerate(self.lines, 1):
            found = _HEADER.match(text)
            if found:
                current = found.group(2).strip("\"'")
                count += current == table
                if not table and current == key:
                    return at
                own = at if current == table and count == number else own
            elif current == table and (not table or count == number) and _is_key(text, key):
                return at
            elif not current and table and _is_key(text, table):
                own = at
        return own


class Table(msgspec.Struct, frozen=True):
    """One table of the rules file, the ``number``-th of its name; its getters check types and raise errors with the
    line."""

    file: RulesFile
    name: str
    number: int
    values: dict[str, Any]

    def known(self, keys: set[str]) -> Table:
        """Raises ConfigError if the table has a key that is not one of these; returns the table."""
        for key in self.values:
            if key not in keys:
                where = f"[{self.name}]" if self.name else "the rules file"
                near = difflib.get_close_matches(key, keys, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"{where} takes {', '.join(sorted(keys))}"
                raise self.error(key, f"unknown key {key!r} in {where}", hint)
        return self

    def error(self, key: str, what: str, right: str) -> ConfigError:
        line = self.file.line(self.name, self.number, key)
        return ConfigError(f"{self.file.path}:{line}: {what}", hint=right)

    def has(self, key: str) -> bool:
        return key in self.values

    def table(self, name: str, keys: set[str]) -> Table:
        """Returns a sub-table, empty if it is missing. Raises ConfigError."""
        values = self.values.get(name, {})
        if not isinstance(values, dict):
            raise self.error(name, f"{name} is not a table", f"write [{name}] and its keys below it")
        return Table(self.file, name, 0, values).known(keys)

    def tables(self, name: str, keys: set[str]) -> list[Table]:
        values = self.values.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise self.error(name, f"{name} is not an array of tables", f"write [[{name}]], with double brackets")
        return [Table(self.file, name, number, value).known(keys) for number, value in enumerate(values)]

    def text(self, key: str, default: Any = _MISSING, *, numbers: bool = False) -> str:
        """Returns a string (or, with ``numbers``, an integer as text), or the default. Raises ConfigError."""
        return str(self.value(key, int | str if numbers else str, default))

    def value(self, key: str, kind: Any, default: Any = _MISSING) -> Any:
        """Returns the value, checked to be of this type, or the default. Raises ConfigError."""
        written = self.values.get(key, default)
        if written is _MISSING:
            raise self.error(key, f"a [[{self.name}]] has no {key}", f'write {key} = "…"')
        if written is default:
            return default
        try:
            return msgspec.convert(written, kind)
        except msgspec.ValidationError as error:
            if isinstance(kind, EnumMeta):
                allowed = ", ".join(f'"{each.value}"' for each in list[Enum](kind))
                raise self.error(
                    key, f"{key} = {written!r} is not one of {allowed}", f"write one of {allowed}"
                ) from error
            what, right = _KINDS[kind]
            usual = "" if default is _MISSING else msgspec.json.encode(default).decode()
            right = right.format(key=key, default=usual)
            said = f"{key} = {written!r} is {what}"
            if kind is float and type(written) is int:
                said = f"{key} is too large a number"
            raise self.error(key, said, f"write {key} = {right}") from error


def _is_key(line: str, key: str) -> bool:
    return re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line) is not None
