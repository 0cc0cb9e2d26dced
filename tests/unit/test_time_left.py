"""How long the rest takes, where each file costs time by itself and the bytes of a few large ones cost the most."""

from __future__ import annotations

from itertools import accumulate
from random import Random

import pytest

from reconcile.core.time_left import RestEstimate

MB = 1_000_000


def estimates(sizes: list[int], a_file: float, a_byte: float, every: float = 0.5) -> list[tuple[float, float | None]]:
    """(the seconds that are really left, the estimate), at each stretch of a run that sends files one by one."""
    ends = list(accumulate(a_file + size * a_byte for size in sizes))
    pace, done, then = RestEstimate(), 0, 0.0
    found: list[tuple[float, float | None]] = []
    for number, end in enumerate(ends, 1):
        if end - then >= every:
            pace.add(number - done, sum(sizes[done:number]), end - then)
            done, then = number, end
            found.append((ends[-1] - end, pace.left(len(sizes) - done, sum(sizes[done:]))))
    return found[:-1]


def mixed(seed: int) -> list[int]:
    """5,000 small files, and among them three large ones that are most of the bytes."""
    sizes = [Random(seed).randrange(500, 60_000) for _ in range(5000)]
    for at, size in ((900, 300 * MB), (2500, 500 * MB), (4700, 400 * MB)):
        sizes[at] = size
    return sizes


@pytest.mark.parametrize("a_byte", [1e-9, 1e-8, 1e-7])
def test_a_few_large_files_among_many_small_ones_do_not_spoil_the_estimate(a_byte: float) -> None:
    seen = [(real, guess) for real, guess in estimates(mixed(1), 0.05, a_byte) if guess is not None]
    assert all(real / 2 - 5 <= guess <= 2 * real + 5 for real, guess in seen)
    # As soon as one of the large files has gone, it is known what they cost.
    assert all(guess == pytest.approx(real, rel=0.1, abs=2) for real, guess in seen[len(seen) // 3 :])


def test_by_bytes_alone_it_would_be_wrong_ten_times_over() -> None:
    """The large files come last, on a fast line with slow answers."""
    sizes = [20_000] * 5000 + [300 * MB] * 3
    seen = estimates(sizes, 0.05, 1e-9)
    real, guess = seen[len(seen) // 2]
    assert guess is not None
    done = 251 - real
    by_bytes = done * sum(sizes) / (20_000 * 2500) - done
    assert by_bytes > 10 * real
    assert guess < 2 * real


def test_equal_files_are_told_to_the_second() -> None:
    for real, guess in estimates([1000] * 400, 0.1, 0.0):
        assert guess == pytest.approx(real, rel=0.2, abs=1)


def test_nothing_is_known_before_anything_is_done() -> None:
    pace = RestEstimate()
    assert pace.left(10, 1000) is None
    pace.add(0, 0, 1.0)
    assert pace.left(10, 1000) is None
    pace.add(0, -500, 1.0)
    assert pace.left(10, 1000) is None
    pace.add(1, 500, 1.0)
    left = pace.left(10, 1000)
    assert left is not None
    assert left > 0
