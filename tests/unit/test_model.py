"""The model of large sizes: what it says of each way, and that the documentation shows what it gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.model import WAYS, curve, limits, night, table

SCALE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"
SIZES = [digit * 10**power for power in range(5, 10) for digit in (1, 2, 5)]


@pytest.mark.parametrize("part", [table, curve, limits])
def test_the_page_shows_what_the_model_gives(part: object) -> None:
    assert callable(part)
    assert part() in SCALE.read_text("utf-8"), "run `python -m tests.benchmarks.model`, and put there what it prints"


def test_what_the_page_says_of_each_way_is_so_at_every_size() -> None:
    for assets in SIZES:
        one, shards, beam = (night(assets, count, on_beam=on_beam) for count, on_beam in WAYS)
        dollars = [each.stores + each.machines for each in (one, shards, beam)]
        assert dollars == sorted(dollars), assets
        assert shards.planning == one.planning
        assert shards.applying <= one.applying
        assert (beam.planning < one.planning) is (assets > 42_000_000), assets
    assert "from 42,000,000 assets on" in limits()
    small = [night(10**6, count, on_beam=on_beam) for count, on_beam in WAYS]
    assert max(small, key=lambda each: each.planning + each.applying) is small[-1]


def test_more_shards_are_quicker_and_dearer_and_dataflow_pays_for_large_plans_alone() -> None:
    one, many = night(10**9, 1, on_beam=False), night(10**9, 16, on_beam=False)
    assert many.applying < one.applying / 2
    assert many.machines > one.machines
    assert night(10**9, 16, on_beam=True).planning < many.planning / 2
    assert night(10**6, 16, on_beam=True).planning > night(10**6, 16, on_beam=False).planning
