"""Bounds and sizes of the pages of a listing."""

from __future__ import annotations

from reconcile.adapters.firestore.calls import Span
from reconcile.core.document_rules import id_problem, may_start_id, prefix_end

PAGE = 300
"""Documents in the first page; later pages are sized so that an answer has about ``ANSWER`` bytes."""
LARGEST_PAGE = 3_000
ANSWER = 3 * 1024 * 1024
"""Bytes. Each page costs a round trip, and a much longer answer takes more time to decode."""
NAMES_PAGE = 2_000


def next_page(documents: int, size: int) -> int:
    """Returns how many documents to request next, given how many the last page had and its size in bytes."""
    return max(1, min(LARGEST_PAGE, ANSWER * documents // size))


def span_of(prefix: str) -> Span | None:
    """Returns the span of ids that can start with the prefix, or None if no id can.

    Only a valid id can bound a query, so the span may be wider than the prefix.
    """
    if not may_start_id(prefix):
        return None
    start = prefix
    while start and id_problem(start) is not None:
        start = start[:-1]
    end = prefix_end(start)
    return Span(start=start or None, end=end if end and id_problem(end) is None else None)
