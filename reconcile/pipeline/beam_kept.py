"""Files that a planning on Beam shares with its workers: their input, and what they found.

What grows with the number of assets is not part of the pipeline itself, because a service accepts only small pipelines.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from reconcile.core.errors import StoreError
from reconcile.pipeline.beam_steps import pack, unpack

LINES = 100
"""Lines in one file."""
TOGETHER = 500
"""Values in one line, which one worker gets together."""


class Kept:
    """The files below ``folder``, in a file system or a bucket, for one planning."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        FileSystems.mkdirs(folder)

    def given(self, pipeline: beam.Pipeline, name: str, values: Iterable[Any], together: int = TOGETHER) -> Any:
        """Makes a collection of these values. A worker gets this many of them ``together``."""
        coming = iter(values)
        batches = iter(lambda: list(islice(coming, together)), [])
        lines = (base64.b64encode(pack(some)) + b"\n" for some in batches)
        paths: list[str] = []
        while some := list(islice(lines, LINES)):
            paths.append(f"{self.folder}/{name.replace(' ', '-')}-{len(paths):05}")
            with FileSystems.create(paths[-1]) as file:
                file.write(b"".join(some))
        kept = pipeline | f"files of {name}" >> beam.Create(paths) | f"lines of {name}" >> beam.FlatMap(_lines)
        return kept | f"spread {name}" >> beam.Reshuffle() | f"given {name}" >> beam.FlatMap(_values)

    def write(self, name: str, lines: Any) -> None:
        """Writes a collection of lines, which ``lines`` reads."""
        _ = lines | f"write {name}" >> beam.io.WriteToText(f"{self.folder}/{name}", ".jsonl")

    def lines(self, name: str) -> Iterator[str]:
        """Yields the lines that were written, in any order. Raises StoreError if they cannot be read."""
        try:
            for found in FileSystems.match([f"{self.folder}/{name}*.jsonl"])[0].metadata_list:
                with FileSystems.open(found.path) as file:
                    yield from (text.decode() for text in file)
        except (OSError, BeamIOError, UnicodeDecodeError) as error:
            raise StoreError(
                f"what the workers wrote into {self.folder} cannot be read: {error}", hint="plan again"
            ) from error


def _lines(path: str) -> Iterator[bytes]:
    with FileSystems.open(path) as file:
        yield from file


def _values(line: bytes) -> list[Any]:
    found: list[Any] = unpack(base64.b64decode(line))
    return found
