"""The options that commands share, each declared once, and the wiring that passes them to a command as one value."""

from __future__ import annotations

import functools
import inspect
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_type_hints

import typer

from reconcile.adapters.disk_names import as_text
from reconcile.cli.complete import asset_types, characters, paths, plan_files
from reconcile.core.duration import parse_duration
from reconcile.core.errors import Interrupted, UsageError
from reconcile.views.streams import Colour

SCOPE = "What to look at"
SIZE = "Very large projects"
COMMON = "Options of every command"
STORES = "Stores (a flag overrides the environment and the rules file)"

option = functools.partial(typer.Option, show_default=False)
_scope = functools.partial(option, rich_help_panel=SCOPE)
_size = functools.partial(option, rich_help_panel=SIZE)
_common = functools.partial(option, rich_help_panel=COMMON)
_stores = functools.partial(option, rich_help_panel=STORES)

FailOn: TypeAlias = Literal["error", "warning"]
T = TypeVar("T")


# Dataclasses, so that --help and completion do not import msgspec. The annotation of a field declares the option, whose
# name is that of the field if it says no other.
@dataclass(frozen=True, kw_only=True)
class Common:
    """The options of every command, which are also accepted before the name of the command."""

    project: Annotated[Path | None, _common("-C", "--project", metavar="DIR", help="The project folder.")] = None
    rules: Annotated[Path | None, _common(metavar="FILE", help="The rules file to use.")] = None
    json: Annotated[bool, _common("--json", help="Write the result as one JSON document.")] = False
    quiet: Annotated[bool, _common("-q", "--quiet", help="Show no progress and no notes.")] = False
    verbose: Annotated[
        int, _common("-v", "--verbose", count=True, help="Show more; -vv also shows each request and its time.")
    ] = 0
    color: Annotated[Colour | None, _common(metavar="auto|always|never", help="When to use colour.")] = None
    log_format: Annotated[
        Literal["text", "json"] | None,
        _common(metavar="text|json", help="The format of stderr; json is one object per line."),
    ] = None
    log_file: Annotated[
        Path | None, _common(metavar="FILE", help="Append all output to this file; a large one is rotated.")
    ] = None
    bucket_uri: Annotated[str | None, _stores(metavar="URI", help="gs://BUCKET/PREFIX")] = None
    bucket_endpoint: Annotated[str | None, _stores(metavar="URL", help="An emulator, or file:DIR.")] = None
    records_uri: Annotated[str | None, _stores(metavar="URI", help="firestore://PROJECT/DATABASE/COLLECTION")] = None
    records_endpoint: Annotated[str | None, _stores(metavar="HOST:PORT", help="An emulator, or file:DIR.")] = None
    local_root: Annotated[str | None, _stores(metavar="DIR", help="Where the workflows write.")] = None

    def over(self, other: Common) -> Common:
        """Returns these options, with those of the other in place of each that was not given."""
        given = {name: value for name, value in vars(self).items() if value not in (None, False)}
        return replace(other, **given)


@dataclass(frozen=True, kw_only=True)
class Scoped:
    """The options for the scope of a run."""

    char_id: Annotated[
        list[str] | None, _scope(metavar="ID", help="Only this character; repeatable.", autocompletion=characters)
    ] = None
    asset_type: Annotated[
        list[str] | None,
        _scope(metavar="TYPE", help="Only assets of this type; repeatable.", autocompletion=asset_types),
    ] = None
    path: Annotated[
        list[str] | None,
        _scope(metavar="PATH", help="Only this asset, by its path or gs:// URI; repeatable.", autocompletion=paths),
    ] = None

    def __bool__(self) -> bool:
        return bool(self.char_id or self.asset_type or self.path)


@dataclass(frozen=True, kw_only=True)
class Sized:
    """The options for how a plan is made, and how much memory that may take."""

    engine: Annotated[
        Literal["stream", "beam"],
        _size(
            metavar="stream|beam",
            help="How to plan: by one sorted merge on this machine, or (only for plan) on Apache Beam.",
        ),
    ] = "stream"
    memory: Annotated[
        str | None, _size(metavar="SIZE", help="How much a plan may hold in memory, e.g. 32M; the rest goes to disk.")
    ] = None
    spill: Annotated[Path | None, _size(metavar="DIR", help="The folder for the rest, instead of .reconcile/.")] = None


@dataclass(frozen=True, kw_only=True)
class Sharded:
    """The options for the part of a plan folder that is applied."""

    shard: Annotated[str | None, _size(metavar="I/N", help="Only this shard of the plan folder, e.g. 3/8.")] = None
    phase: Annotated[
        Literal["uploads", "records"] | None,
        _size(metavar="uploads|records", help="Only the objects, or only the records, of a plan folder."),
    ] = None
    machine: Annotated[
        str | None, option(metavar="NAME", help="Which machine this is, if the plan has files of several.")
    ] = None
    merge_reports: Annotated[
        bool, _size("--merge-reports", help="Change nothing: show what all runs of a plan folder did together.")
    ] = False

    def __bool__(self) -> bool:
        return bool(self.part or self.merge_reports)

    @property
    def part(self) -> list[str]:
        """The options that say which part it is, as they are typed."""
        return typed([("--shard", self.shard), ("--phase", self.phase), ("--machine", self.machine)])


@dataclass(frozen=True, kw_only=True)
class Planned(Sized):
    """The options for a plan that may skip what was in step before."""

    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Check everything, even what a quick look finds in sync.")
    ] = False


PlanFile = Annotated[
    Path | None,
    typer.Argument(metavar="PLANFILE", help="A saved plan; without it a plan is made.", autocompletion=plan_files),
]
FailOnFindings = Annotated[
    FailOn | None,
    option("--fail-on", metavar="error|warning", help="Exit with 6 if findings of this severity, or worse, remain."),
]
AllowEmpty = Annotated[
    bool, typer.Option("--allow-empty", help="Accept that the local root, which used to hold files, is empty.")
]
Force = Annotated[bool, typer.Option("--force", help="Override a safety limit.")]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would be done.")]
Full = Annotated[
    bool, typer.Option("--full", help="Show every asset with its values before and after, and every finding.")
]
NoPager = Annotated[bool, typer.Option("--no-pager", help="With --full: write to the terminal without a pager.")]
Concurrency = Annotated[
    int | None,
    option(
        "--concurrency", min=1, max=256, metavar="N", help="How many objects at once; by default, whatever is fastest."
    ),
]
BwLimit = Annotated[
    str | None,
    option(
        "--bwlimit",
        metavar="RATE",
        help='Bytes to upload per second, e.g. 10M, or a timetable, e.g. "08:00,512k 18:00,off".',
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
WaitLock = Annotated[
    str | None, option("--wait-lock", metavar="TIME", help="How long to wait for another run to finish, e.g. 10m.")
]
NoJournal = Annotated[
    bool,
    typer.Option("--no-journal", help="Keep no journal: this run will not appear in history and cannot be undone."),
]


def parsed(parse: Callable[[str], T], text: str | None, default: T, option: str, example: str) -> T:
    """Parses the value of an option. Raises UsageError."""
    if text is None:
        return default
    try:
        return parse(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}", hint=f"for example {option} {example}") from error


def seconds(text: str | None, option: str, default: float = 0.0) -> float:
    """Returns the length of time in an option, in seconds. Raises UsageError."""
    return parsed(parse_duration, text, default, option, "10m")


def variables(given: list[str] | None) -> dict[str, str]:
    """Returns the variables in ``--env``. Raises UsageError."""
    found: dict[str, str] = {}
    for each in given or ():
        name, sign, value = each.partition("=")
        if not (name and sign) or "\0" in each:
            raise UsageError(f"--env {each!r} is not NAME=VALUE", hint="for example --env RECONCILE_RULES=rules.toml")
        found[name] = value
    return found


def typed(options: Iterable[tuple[str, str | Path | None]]) -> list[str]:
    """Returns options and their values as the words of a command line, without those that were not given."""
    return [word for name, value in options if value is not None for word in (name, str(value))]


def option_name(name: str) -> str:
    """Returns the option that sets this field."""
    return f"--{name.replace('_', '-')}"


PLACES = ("rules", "bucket_uri", "bucket_endpoint", "records_uri", "records_endpoint", "local_root")
"""The fields of ``Common`` that say, besides the project, what a run works with."""
META = "reconcile.common"
"""The key under which a context has the options that were given before the name of the command."""


def flattened(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turns the function of a command into one for typer. Each group of options (a dataclass, such as ``Common``)
    becomes one option for each of its fields. ``Common`` also gets what was given before the name of the command, and a
    ``session`` is made of it. A ``context`` is passed on."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    if "session" in hints:
        groups["session"] = Common

    @functools.wraps(function)
    def wrapper(context: typer.Context, **options: Any) -> Any:
        given = {name: _read(value) for name, value in options.items()}
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
            if group is Common:
                given[name] = given[name].over(context.meta.get(META, Common()))
                if context.invoked_subcommand is None:
                    _log_to_file(given[name], context)
        if "session" in hints:
            given["session"] = hints["session"](given["session"])
        if "context" in hints:
            given["context"] = context
        try:
            return function(**given)
        except KeyboardInterrupt as error:
            raise Interrupted("interrupted; nothing more was started", hint="the next run goes on from here") from error

    parameters = [_parameter("context", typer.Context)]
    for name, parameter in inspect.signature(function).parameters.items():
        if name in groups:
            of_group = get_type_hints(groups[name], include_extras=True)
            parameters += [_parameter(each.name, of_group[each.name], each.default) for each in fields(groups[name])]
        elif name != "context":
            parameters.append(_parameter(name, hints[name], parameter.default))
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper


def _log_to_file(common: Common, context: typer.Context) -> None:
    """Sends everything that this process writes to the file in ``--log-file``. Raises UsageError."""
    if common.log_file is None:
        return
    from reconcile.adapters.logfile import open_log
    from reconcile.views.streams import write

    sys.stdout = sys.stderr = open_log(common.log_file)
    if common.log_format != "json":  # lines of JSON have the time
        write(sys.stderr, time.strftime(f"---- %Y-%m-%dT%H:%M:%SZ {context.command_path}\n", time.gmtime()))


def _read(value: Any) -> Any:
    """Returns texts as they were typed. Paths stay as the system passed them."""
    if type(value) is str:
        return as_text(value)
    return [_read(each) for each in value] if isinstance(value, list) else value


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
