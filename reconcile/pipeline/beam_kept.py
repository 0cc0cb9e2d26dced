"""Files below a folder that a planning on Beam shares with its workers: what they are given, and what they found.

What grows with the assets is not part of the pipeline itself, which a service takes only if it is small.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from reconcile.pipeline.beam_steps import pack, unpack

AT_ONCE = 10_000
"""Values in one file."""


class Kept:
    """The files below ``folder``, in a file system or a bucket, for one planning."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        FileSystems.mkdirs(folder)

    def given(self, pipeline: beam.Pipeline, name: str, values: Iterable[Any]) -> Any:
        """These values as a collection."""
        left, paths = iter(values), list[str]()
        while some := list(islice(left, AT_ONCE)):
            path = f"{self.folder}/{name.replace(' ', '-')}-{len(paths):05}"
            with FileSystems.create(path) as file:
                file.write(b"".join(base64.b64encode(pack(each)) + b"\n" for each in some))
            paths.append(path)
        read = pipeline | f"files of {name}" >> beam.Create(paths) | f"given {name}" >> beam.ParDo(_Read())
        return read | f"spread {name}" >> beam.Reshuffle()

    def write(self, name: str, lines: Any) -> None:
        """Writes a collection of lines, for ``lines``."""
        _ = lines | f"write {name}" >> beam.io.WriteToText(f"{self.folder}/{name}", ".jsonl")

    def lines(self, name: str) -> Iterator[str]:
        """The lines that were written, in any order."""
        for found in FileSystems.match([f"{self.folder}/{name}*.jsonl"])[0].metadata_list:
            with FileSystems.open(found.path) as file:
                yield from (text.decode() for text in file)


class _Read(beam.DoFn):  # type: ignore[misc]
    """Files → the values in them."""

    def process(self, element: str) -> Iterator[Any]:
        with FileSystems.open(element) as file:
            for text in file:
                yield unpack(base64.b64decode(text))
