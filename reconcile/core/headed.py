"""Folders of files whose head file is written last and lists the others, so that an incomplete folder is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from reconcile.core.errors import UsageError


class Head(msgspec.Struct, frozen=True):
    """The head of such a folder."""

    format: str


HeadT = TypeVar("HeadT", bound=Head)


class HeadedFolder(NamedTuple):
    """One kind of such a folder: its head's name, its content, its format, and how to get one, or another one."""

    head: str
    what: str
    form: str
    get: str
    again: str

    def check_head(self, sizes: Mapping[str, int], folder: str) -> None:
        """Raises UsageError if there is no head among these files."""
        if self.head not in sizes:
            lacks = f"has no {self.head}: whoever wrote it did not finish" if sizes else f"holds no {self.what}"
            raise UsageError(f"{folder} {lacks}", hint=self.get)

    def decode(self, data: bytes, kind: type[HeadT], folder: str) -> HeadT:
        """Returns the head. Raises UsageError if it is torn or of another format."""
        try:
            head = msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise UsageError(
                f"{self.head} in {folder} is not the head of a {self.what}: {error}", hint=self.again
            ) from error
        if head.format != self.form:
            raise UsageError(
                f"{self.head} in {folder} has the format {head.format!r}; this version reads {self.form!r}",
                hint=f"use the version that wrote it, or {self.again}",
            )
        return head

    def check_files(self, listed: Mapping[str, int], sizes: Mapping[str, int], folder: str) -> None:
        """Raises UsageError if a file that the head lists, with its length in bytes, is missing or has another one."""
        for name, size in listed.items():
            if name not in sizes:
                raise UsageError(f"{name} is missing in {folder}", hint=self.again)
            if sizes[name] != size:
                raise UsageError(
                    f"{name} in {folder} has {sizes[name]} bytes; {self.head} says {size}", hint=self.again
                )

    def read_lines(self, name: str, data: bytes, sha256: str, kind: Any, folder: str) -> list[Any]:
        """Returns the values of this kind in a file, one per line.

        Raises UsageError if it is not the file that the head lists under this name, or contains something else.
        """
        if hashlib.sha256(data).hexdigest() != sha256:
            raise UsageError(f"{name} in {folder} is not the file that {self.head} names", hint=self.again)
        try:
            return list(msgspec.json.Decoder(kind).decode_lines(data))
        except (msgspec.DecodeError, RecursionError) as error:
            raise UsageError(f"{name} in {folder} cannot be read: {error}", hint=self.again) from error


def dump_head(head: msgspec.Struct) -> bytes:
    """Returns a head as one JSON document, ending with a newline."""
    return msgspec.json.format(msgspec.json.encode(head), indent=2) + b"\n"
