"""Which documents one page of a listing asks for, and how many."""

from __future__ import annotations

from reconcile.adapters.firestore.calls import Span
from reconcile.core.document_rules import id_problem, may_start_id, prefix_end

PAGE = 300
"""Of the first page; the next ones have as many as make an answer of ``ANSWER`` bytes."""
LARGEST_PAGE = 3_000
ANSWER = 3 * 1024 * 1024
"""Bytes: each page costs the wait for an answer, and one that is much longer costs more to decode."""
NAMES_PAGE = 2_000


def next_page(documents: int, size: int) -> int:
    """The number of documents to ask for next, by how many the last page had and how many bytes they took."""
    return max(1, min(LARGEST_PAGE, ANSWER * documents // size))


def span_of(prefix: str) -> Span | None:
    """The ids that could start with the prefix; None if no id can. Only ids that may be can bound a query."""
    if not may_start_id(prefix):
        return None
    start = prefix
    while start and id_problem(start) is not None:
        start = start[:-1]
    end = prefix_end(start)
    return Span(start=start or None, end=end if end and id_problem(end) is None else None)


def is_beyond(document: str, prefix: str) -> bool:
    """Whether nothing from this id on can start with the prefix."""
    return document > prefix and not document.startswith(prefix)
