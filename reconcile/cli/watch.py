"""The command watch: keeps running and applies as files settle. ``--check`` tells a monitor whether it still does."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from reconcile.cli.options import AllowEmpty, BwLimit, Concurrency, FailOnFindings, Planned, Scoped, seconds
from reconcile.cli.session import Session, bandwidth_of, memory_of, scope_of, severity, spill_of
from reconcile.cli.signals import stopping
from reconcile.commands.watch import WatchOptions
from reconcile.commands.watch import watch as stay
from reconcile.commands.watch_teller import check
from reconcile.core.errors import ExitCode, ReconcileError, UsageError
from reconcile.core.watch_report import EventKind, WatchEvent
from reconcile.core.watching import Poll
from reconcile.views.watch import show_health, write_event

SHORTEST = 1.0


def watch(
    session: Session,
    scope: Scoped,
    sized: Planned,
    every: Annotated[
        str, typer.Option(metavar="TIME", help="How often to check everything, because records change too.")
    ] = "1h",
    poll: Annotated[
        Poll,
        typer.Option(metavar="auto|always|never", help="Whether to poll the folder, as drives without events require."),
    ] = Poll.AUTO,
    concurrency: Concurrency = None,
    bwlimit: BwLimit = None,
    fail_on: FailOnFindings = None,
    allow_empty: AllowEmpty = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether this project's watcher is healthy: exit 0 or 1.")
    ] = False,
    max_age: Annotated[
        str, typer.Option(metavar="TIME", help="With --check: how old the last good pass may be.")
    ] = "3h",
) -> ExitCode:
    oldest, between = seconds(max_age, "--max-age"), seconds(every, "--every")
    if between < SHORTEST:
        raise UsageError(f"--every {every} is too often", hint="give it at least 1s")
    if check:
        return _check(session, oldest)
    terminal = None if session.json else session.terminal()
    busy = gone = False

    def tell(event: WatchEvent) -> None:
        nonlocal busy, gone
        busy = event.event in (EventKind.PASS_STARTED, EventKind.APPLYING)
        if not write_event(sys.stdout, terminal, event, quiet=session.common.quiet, verbose=session.verbose):
            gone = True
            stop.set()

    def interrupted(sentence: str) -> None:
        if busy:
            session.note(sentence)

    project = session.project()
    with stopping(interrupted) as stop:
        left = stay(
            project,
            WatchOptions(
                scope=scope_of(project, scope),
                every=between,
                poll=poll,
                concurrency=concurrency,
                bandwidth=bandwidth_of(bwlimit),
                fail_on=severity(fail_on),
                allows_empty=allow_empty,
                memory=memory_of(sized.memory),
                spill=spill_of(sized.spill),
                cache=not sized.no_cache,
                witness=session.witness,
            ),
            listener=tell,
            stop=stop,
            reopen=session.project,
        )
    # A service that ends when it is asked to has succeeded. Ctrl-C is an interrupt, as everywhere.
    if stop.by == signal.SIGINT and not gone:
        return ExitCode.INTERRUPTED
    return session.verdict(ExitCode.OK, left, fail_on)


def _check(session: Session, oldest: float) -> ExitCode:
    health, wrong = check(session.project_folder(), oldest)
    if health is None or (wrong is not None and session.json):
        raise _Unwell(str(wrong), hint="start it with `reconcile watch`")
    session.result(health, lambda terminal: show_health(terminal, health))
    if wrong is not None:
        raise _Unwell(wrong)
    return ExitCode.OK


class _Unwell(ReconcileError):
    """A watcher is not healthy."""

    code = "watch_unwell"
