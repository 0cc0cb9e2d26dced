"""The command line: options, wiring, exit codes. No decisions."""

from __future__ import annotations

from typing import Annotated

import typer

from reconcile import __version__
from reconcile.cli import complete, health, look, nightly, past, proof, report, run, start, sync, watch
from reconcile.cli.options import Common, command, flatten_callback, keep

app = typer.Typer(
    name="reconcile",
    help="Brings local media, Google Cloud Storage and Firestore records in step. Deletes nothing.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
rules = typer.Typer(help="Look at the asset map.", invoke_without_command=True)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"reconcile {__version__}")
        raise typer.Exit


def _main(
    context: typer.Context,
    common: Common,
    version: Annotated[  # noqa: ARG001 its own callback answers it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    keep(context, common)
    _help_without_command(context)


def _rules(context: typer.Context, common: Common) -> None:
    keep(context, common)
    _help_without_command(context)


def _help_without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.callback()(flatten_callback(_main))
rules.callback()(flatten_callback(_rules))
app.add_typer(rules, name="rules")
command(app, "init")(start.init)
command(app, "plan")(sync.plan)
command(app, "apply")(sync.apply)
command(app, "status")(sync.status)
command(app, "history")(past.history)
command(app, "undo")(past.undo)
command(app, "explain")(look.explain)
command(app, "verify")(proof.verify)
command(app, "restore")(proof.restore)
command(app, "report")(report.report)
command(app, "watch")(watch.watch)
# Options behind the workflow's name are the workflow's.
command(app, "run", allow_interspersed_args=False)(run.run)
command(app, "url")(health.url)
command(app, "doctor")(health.doctor)
command(app, "schedule")(nightly.schedule)
command(app, "demo")(start.demo)
command(rules, "check")(look.rules_check)
command(rules, "test")(look.rules_test)
app.command("completion")(complete.completion)
