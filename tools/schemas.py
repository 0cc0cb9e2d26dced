"""Writes docs/schemas/*.json, a JSON Schema for each document that the program writes, from its types.

``python -m tools.schemas`` writes them all; a test keeps them current and validates the program's output against them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from reconcile.cli import tour
from reconcile.commands import doctor, explain, links, scanning, schedule, trials
from reconcile.commands import status as statuses
from reconcile.core import history, plan, plandir, proof, report, restoration, scan, status, watch_report
from reconcile.views import catalogue, json

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

DOCUMENTS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "plan": (plan.Plan, plan.FORMAT),
    "plan-dir": (plandir.PlanDir, plandir.FORMAT),
    "scan": (scan.Scan, scan.FORMAT),
    "scanned": (scanning.Scanned, scanning.FORMAT),
    "result": (report.Report, report.FORMAT),
    "run": (json.RunDocument, json.RUN_FORMAT),
    "status": (status.StatusTable, status.FORMAT),
    "list": (catalogue.AssetList, catalogue.FORMAT),
    "report": (statuses.Overview, statuses.REPORT_FORMAT),
    "explain": (explain.Explanation, explain.FORMAT),
    "rules": (trials.RulesDocument, trials.RULES_FORMAT),
    "rules-test": (trials.Trials, trials.TRIALS_FORMAT),
    "history": (history.History, history.FORMAT),
    "verify": (proof.Verification, proof.FORMAT),
    "certificate": (proof.Certificate, proof.CERTIFICATE_FORMAT),
    "restore-plan": (restoration.RestorePlan, restoration.FORMAT),
    "schedule": (schedule.Schedule, schedule.FORMAT),
    "doctor": (doctor.Checkup, doctor.FORMAT),
    "url": (links.Links, links.FORMAT),
    "watch": (watch_report.WatchEvent, watch_report.FORMAT),
    "watch-health": (watch_report.WatchHealth, watch_report.HEALTH_FORMAT),
    "init": (json.InitDocument, json.INIT_FORMAT),
    "demo": (tour.DemoDocument, tour.FORMAT),
    "error": (json.ErrorDocument, json.ERROR_FORMAT),
}


def schema(name: str) -> dict[str, Any]:
    """The schema of one document; its ``format`` is a constant, and within it fields may be added."""
    kind, form = DOCUMENTS[name]
    (reference,), definitions = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    definitions[kind.__name__]["properties"]["format"] = {"const": form}
    return {"$schema": DIALECT, "title": form, **reference, "$defs": dict(sorted(definitions.items()))}


def text(name: str) -> str:
    """The schema as its file holds it."""
    encoded = msgspec.json.encode(schema(name))
    return msgspec.json.format(encoded, indent=2).decode() + "\n"


def main() -> int:
    """Writes every schema."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in DOCUMENTS:
        (FOLDER / f"{name}.json").write_text(text(name), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
