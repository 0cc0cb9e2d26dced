"""The model of large sizes: its arithmetic, and that the documentation shows what it gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconcile.core.ramp import Ramp
from tests.benchmarks.model import night, seconds_for, table

SCALE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"


def test_the_page_shows_what_the_model_gives() -> None:
    assert table() in SCALE.read_text("utf-8"), "run `python -m tests.benchmarks.model`, and put its table there"


def test_operations_take_as_long_as_the_ramp_lets_them() -> None:
    ramp = Ramp(100.0, 2.0, 10.0)
    assert seconds_for(500, ramp, 1e9) == 5
    assert seconds_for(1_000 + 2_000 + 400, ramp, 1e9) == 21
    assert seconds_for(1_000 + 1_500, ramp, 150) == 20
    assert seconds_for(0, ramp, 1e9) == 0


def test_more_shards_are_quicker_and_dearer_and_dataflow_pays_for_large_plans_alone() -> None:
    one, many = night(10**9, 1, on_beam=False), night(10**9, 16, on_beam=False)
    assert many.applying < one.applying / 2
    assert many.machines > one.machines
    assert night(10**9, 16, on_beam=True).planning < many.planning / 2
    assert night(10**6, 16, on_beam=True).planning == pytest.approx(night(10**6, 16, on_beam=False).planning, abs=0.1)
