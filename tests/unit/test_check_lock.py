"""``tools.check_lock``: where the lock can be installed from wheels alone."""

from __future__ import annotations

import pytest

from tools.check_lock import PROMISED, PYTHONS, TOLD, report, why

UV = """  x No solution found when resolving dependencies:
  `-> Because cryptography==50.0.2 has no usable wheels and you require cryptography==50.0.2, we can conclude that
      your requirements are unsatisfiable.
"""
ALL = ", ".join(PYTHONS)


def test_a_system_that_lacks_a_wheel_is_said_with_the_package_and_the_pythons() -> None:
    missing = {(PROMISED["Windows, x86-64"], python) for python in PYTHONS[1:]}
    lines, holds = report(lambda platform, python: why(UV) if (platform, python) in missing else "")
    assert not holds
    others = ", ".join(PYTHONS[1:])
    assert f"Windows, x86-64: Python {PYTHONS[0]}; not with Python {others} (no wheel of cryptography 50.0.2)" in lines
    assert f"Linux, x86-64: Python {ALL}" in lines


@pytest.mark.parametrize("name", TOLD)
def test_a_system_that_is_not_promised_is_said_and_no_failure(name: str) -> None:
    lines, holds = report(lambda platform, _: why(UV) if platform == TOLD[name] else "")
    assert holds
    assert f"{name}: not with Python {ALL} (no wheel of cryptography 50.0.2)" in lines


def test_another_failure_of_uv_is_handed_on_and_never_taken_for_success() -> None:
    assert why("error: Request failed\n  Caused by: timed out\n") == "error: Request failed Caused by: timed out"
    assert why("")
