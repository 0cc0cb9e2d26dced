"""The command line: options, wiring, exit codes. No decisions."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from reconcile import __version__
from reconcile.cli.examples import shown
from reconcile.cli.options import COMMON, META, SCOPE, SIZE, STORES, Common, flattened
from reconcile.cli.params import arranged, hiding, plain, unvalidated


class CliCommand(NamedTuple):
    """A command: the module of this package that has its function, and its help. The function has the name of the
    command. The module is imported when the command is called."""

    module: str
    help: str
    options_first: bool = False
    """Whether options after the first argument belong to that argument, such as those of a workflow."""
    stores: bool = True
    """Whether the options that name the stores have an effect on it; --help does not show them otherwise."""


COMMANDS = {
    "init": CliCommand("start", "Write a commented rules/asset_map.toml with every asset type. Overwrites no file."),
    "plan": CliCommand("sync", "Print what is out of sync and what apply would do. Changes nothing anywhere."),
    "show": CliCommand("saved", "Show a saved plan, as plan shows it. Reads no store."),
    "apply": CliCommand(
        "sync", "Apply a saved plan, or make one and apply it. On a terminal it shows the plan and asks first."
    ),
    "status": CliCommand(
        "sync", "Print a row for each asset type: local, bucket, records, in step, to do, attention, sync."
    ),
    "list": CliCommand(
        "catalogue", "Print a row for each asset: its character, the field that names it, its object, and its state."
    ),
    "history": CliCommand(
        "past", "Show what earlier runs did, with the values before and after. Reads no store.", stores=False
    ),
    "undo": CliCommand(
        "past", "Put back the record fields that a run changed, if nobody has changed them since. Objects stay."
    ),
    "explain": CliCommand(
        "look", "Say which rule matches a subject, which character owns it, what is where, what would be done, and why."
    ),
    "verify": CliCommand(
        "proof",
        "Prove that what the records name can be read: every reference leads to an object with the intended content.",
    ),
    "restore": CliCommand("proof", "Bring back local files that only the bucket has. Overwrites no file."),
    "report": CliCommand(
        "report",
        "Write one self-contained page: status, characters by asset type, plan, findings. Changes nothing else.",
    ),
    "watch": CliCommand(
        "watch",
        "Keep running and apply as files settle. With --json: one JSON document per line. SIGTERM and Ctrl-C end it"
        " cleanly.",
    ),
    "run": CliCommand(
        "run",
        "Run a workflow, then apply for its character if it succeeded; exits with the workflow's code if that is not"
        " 0.",
        options_first=True,
    ),
    "url": CliCommand(
        "health",
        "Print signed URLs for assets, or for all assets of a character. Anybody who has a URL can read its asset until"
        " it expires.",
    ),
    "scan": CliCommand(
        "elsewhere", "Write a list of this machine's files into a folder, for a plan that is made on another machine."
    ),
    "doctor": CliCommand(
        "health", "Try everything that a run needs, and say how to fix what fails. Leaves nothing behind."
    ),
    "schedule": CliCommand("nightly", "Print the nightly job for a scheduler, ready to install. Installs nothing."),
    "demo": CliCommand(
        "tour",
        "Show the whole scenario on stores in a folder: sample media, plan, apply, plan again.",
        stores=False,
    ),
    "completion": CliCommand(
        "shells",
        "Print the script for Tab completion of commands, characters, paths and runs in a shell. The line for"
        " PowerShell goes into the file that $PROFILE names.",
    ),
    "help": CliCommand("helping", "Show the help of a command."),
    "rules check": CliCommand(
        "look",
        "Check the rules file, as every command does, and show its rules. Reads no store, except the records with"
        " --against-records.",
    ),
    "rules test": CliCommand(
        "look",
        "Say which rule matches each path. Reads no store, so it cannot know which characters exist.",
    ),
}
"""Every command, by its name."""

GROUPS = {
    "Sync": ("plan", "apply", "run", "watch", "schedule"),
    "Look": ("status", "list", "explain", "show", "report", "history", "scan"),
    "Publish, prove, bring back": ("url", "verify", "restore", "undo"),
    "Set up": ("init", "rules", "doctor", "demo", "completion", "help"),
}
"""The commands as ``--help`` lists them."""


def load(path: str) -> Any:
    """Imports a command, given by its name, such as ``rules check``, and returns it as click's own type."""
    entry = COMMANDS[path]
    function = getattr(import_module(f"{__name__}.{entry.module}"), path.replace(" ", "_"))
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    settings = {"allow_interspersed_args": not entry.options_first}
    name = path.rpartition(" ")[2]
    alone.command(name, cls=_Command, help=entry.help, epilog=shown(path), context_settings=settings)(
        flattened(function)
    )
    command = get_command(alone)
    if not entry.stores:
        hiding([STORES], command.params)
    return command


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> Any:
        return arranged((SCOPE, SIZE, COMMON, STORES), plain(unvalidated(super().get_params(ctx))))


class _Group(TyperGroup):
    """A group that lists its commands from the table and imports the one that is called."""

    def get_params(self, ctx: Any) -> Any:
        return hiding([COMMON, STORES], plain(unvalidated(super().get_params(ctx))))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, listed, rest = super().resolve_command(ctx, args)
        path = name if ctx.parent is None else f"{self.name} {name}"
        return name, load(path) if path in COMMANDS else listed, rest


app = typer.Typer(
    cls=_Group,
    name="reconcile",
    help="Keeps local media, Google Cloud Storage and Firestore records in sync. Deletes nothing.",
    epilog="`reconcile help COMMAND` shows the options of a command, and examples. Options that every command takes,"
    " such as -C DIR or --json, may also come before its name.",
    add_completion=False,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
rules = typer.Typer(cls=_Group, help="Check the rules file, or try it on paths.", invoke_without_command=True)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"reconcile {__version__}")
        raise typer.Exit


def _group(context: typer.Context, common: Common) -> None:
    context.meta[META] = common
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _main(
    context: typer.Context,
    common: Common,
    version: Annotated[  # noqa: ARG001 its callback handles it
        bool, typer.Option("-V", "--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    _group(context, common)


app.callback()(flattened(_main))
rules.callback()(flattened(_group))
for _panel, _names in GROUPS.items():
    for _name in _names:
        if _name == "rules":
            app.add_typer(rules, name=_name, rich_help_panel=_panel)
        else:  # only for the list; ``load`` imports the command
            app.command(_name, help=COMMANDS[_name].help, rich_help_panel=_panel)(lambda: None)
for _path in COMMANDS:
    _of, _, _name = _path.rpartition(" ")
    if _of:
        rules.command(_name, help=COMMANDS[_path].help)(lambda: None)
