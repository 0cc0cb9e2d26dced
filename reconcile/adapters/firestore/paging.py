"""How many documents one page of a listing asks for."""

from __future__ import annotations

PAGE = 300
"""Of the first page; the next ones have as many as make an answer of ``ANSWER`` bytes."""
LARGEST_PAGE = 3_000
ANSWER = 3 * 1024 * 1024
"""Bytes: each page costs the wait for an answer, and one that is much longer costs more to decode."""
NAMES_PAGE = 2_000


def next_page(documents: int, size: int) -> int:
    """The number of documents to ask for next, by how many the last page had and how many bytes they took."""
    return max(1, min(LARGEST_PAGE, ANSWER * documents // size))
