"""Turns the outputs of stages into flat rows for an engine, each under the key by which the next stage groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import get_args

from reconcile.core.catalogue import Listed, Mark
from reconcile.core.changes import Change, Finding
from reconcile.core.rows import Agreed, Answer, Claim, KeyFacts, KeyTally, Row, Source, Stream

_STREAMS: dict[type, tuple[Stream, str]] = {
    Answer: (Stream.ANSWER, "document"),
    Claim: (Stream.CLAIM, "document"),
    KeyTally: (Stream.TALLY, "key"),
    Mark: (Stream.MARK, "key"),
    Agreed: (Stream.AGREED, "key"),
    KeyFacts: (Stream.FACTS, "key"),
    Listed: (Stream.LISTED, "key"),
    Source: (Stream.SOURCE, "content"),
    Finding: (Stream.FINDING, "subject"),
    **dict.fromkeys(get_args(Change), (Stream.CHANGE, "id")),
}


def as_rows(values: Iterable[object]) -> Iterator[Row]:
    for value in values:
        stream, name = _STREAMS[type(value)]
        yield Row(stream, getattr(value, name), value)
