"""What the tests of the stages share: a rule, a place, and a plan that is made and made again."""

from __future__ import annotations

from reconcile.core.changes import Finding
from reconcile.core.plan import Plan
from tests.kit.world import World, rule

KEY = "characters/rem.png"

FIELD = ("rem", "primary", "anime_image")

IMAGE = rule("image", "characters/{char_id}.png", "anime_image")


def converged(world: World) -> Plan:
    """Applies, and gives the plan that follows: there is nothing to do in it, and nothing is written."""
    report = world.apply()
    assert report.counts.failed == report.counts.stale == report.counts.blocked == 0
    before, writes = world.snapshot(), world.writes()
    plan = world.plan()
    assert plan.actions == ()
    world.apply(plan)
    assert (world.snapshot(), world.writes()) == (before, writes)
    return plan


def one(plan: Plan, code: str) -> Finding:
    [found] = [finding for finding in plan.findings if finding.code.value == code]
    return found
