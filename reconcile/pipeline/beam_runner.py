"""The runner of a planning on Beam: what the options behind ``--`` ask for, and what its counters come to."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.runner import PipelineResult

from reconcile.core.errors import UsageError
from reconcile.pipeline.beam_steps import COUNTERS

_LOCAL = ("FnApiRunner", "DirectRunner", "BundleBasedDirectRunner", "SwitchingDirectRunner", "PrismRunner")
_HINT = "behind -- there are options of Apache Beam alone, as in -- --runner FnApiRunner"


def options_of(arguments: Sequence[str]) -> PipelineOptions:
    """What these arguments say to Beam; the runner is its local one if they name none. Raises UsageError."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            options = PipelineOptions(list(arguments))
            options.get_all_options()
    except SystemExit as error:
        why = said.getvalue().strip().rpartition("error: ")[2] if error.code else "they ask for help"
        raise UsageError(f"the options behind -- are not ones that Beam takes: {why}", hint=_HINT) from error
    if arguments and not arguments[0].startswith("-"):
        raise UsageError(f"{arguments[0]!r} behind -- is no option of Beam", hint=_HINT)
    standard = options.view_as(StandardOptions)
    standard.runner = standard.runner or "FnApiRunner"  # Beam's own choice may be one that it has to download
    return options


def is_local(options: PipelineOptions) -> bool:
    """Returns whether the runner has the processes of this machine alone."""
    return str(options.view_as(StandardOptions).runner).rpartition(".")[2] in _LOCAL


def pipeline_of(options: PipelineOptions) -> beam.Pipeline:
    """An empty pipeline. Raises UsageError if there is no such runner, or if it needs other options."""
    try:
        return beam.Pipeline(options=options)
    except ValueError as error:
        why = " ".join(str(error).replace("\\n", " ").split()).rstrip(".")
        raise UsageError(f"with the options behind -- there is no run on Beam: {why}", hint=_HINT) from error


def counters_of(result: PipelineResult) -> dict[str, int]:
    """What our counters of a finished run come to, by name; empty if the runner keeps none."""
    try:
        found = result.metrics().query(beam.metrics.MetricsFilter().with_namespace(COUNTERS))["counters"]
    except NotImplementedError:
        return {}
    counts = Counter[str]()
    for each in found:  # a step has a counter of its own
        counts[each.key.metric.name] += each.result or 0
    return dict(counts)
