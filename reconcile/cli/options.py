"""The options that commands share, each declared once, and the wiring that gives them to a command as one value."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from reconcile.adapters.disk_names import as_text
from reconcile.cli.complete import asset_types
from reconcile.core.duration import parse_duration
from reconcile.core.errors import ExitCode, Interrupted, UsageError
from reconcile.views.colour import Colour

COMMON = "Options of every command"
STORES = "Stores (a flag overrides the environment and the rules file)"


class LogFormat(StrEnum):
    """How stderr is written."""

    TEXT = "text"
    JSON = "json"


class FailOn(StrEnum):
    """Which findings are a failure, though everything that could be done was done."""

    ERROR = "error"
    WARNING = "warning"


class SchedulerKind(StrEnum):
    """Who starts the nightly job."""

    CRON = "cron"
    SYSTEMD = "systemd"
    WINDOWS = "windows"
    CLOUD_RUN = "cloud-run"


# Dataclasses, because --help and completion shall not pay for msgspec; a field's annotation declares the option.
@dataclass(frozen=True, kw_only=True)
class Common:
    """The options of every command; also taken before the command's name."""

    project: Annotated[
        Path | None,
        typer.Option(
            "-C", "--project", metavar="DIR", help="The project folder.", show_default=False, rich_help_panel=COMMON
        ),
    ] = None
    rules: Annotated[
        Path | None,
        typer.Option("--rules", metavar="FILE", help="Another rules file.", show_default=False, rich_help_panel=COMMON),
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Write one JSON document.", rich_help_panel=COMMON)] = False
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no notes.", rich_help_panel=COMMON)] = False
    verbose: Annotated[bool, typer.Option("--verbose", help="Say everything.", rich_help_panel=COMMON)] = False
    color: Annotated[
        Colour | None,
        typer.Option(
            "--color", metavar="auto|always|never", help="When to colour.", show_default=False, rich_help_panel=COMMON
        ),
    ] = None
    log_format: Annotated[
        LogFormat | None,
        typer.Option(
            "--log-format",
            metavar="text|json",
            help="How stderr is written.",
            show_default=False,
            rich_help_panel=COMMON,
        ),
    ] = None
    bucket_uri: Annotated[
        str | None,
        typer.Option(metavar="URI", help="gs://BUCKET/PREFIX", show_default=False, rich_help_panel=STORES),
    ] = None
    bucket_endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="An emulator, or file:DIR.", show_default=False, rich_help_panel=STORES),
    ] = None
    records_uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="firestore://PROJECT/DATABASE/COLLECTION", show_default=False, rich_help_panel=STORES
        ),
    ] = None
    records_endpoint: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="An emulator, or file:DIR.", show_default=False, rich_help_panel=STORES),
    ] = None
    local_root: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Where the workflows write.", show_default=False, rich_help_panel=STORES),
    ] = None

    def over(self, other: Common) -> Common:
        """These options, and the other's for each that was not given."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(
            other, **{name: value for name, value in given.items() if value is not None and value is not False}
        )


@dataclass(frozen=True, kw_only=True)
class Scoped:
    """What a run may look at."""

    char_id: Annotated[
        list[str] | None,
        typer.Option("--char-id", metavar="ID", help="Only this character; repeatable.", show_default=False),
    ] = None
    asset_type: Annotated[
        list[str] | None,
        typer.Option(
            "--asset-type",
            metavar="TYPE",
            help="Only assets of this type; repeatable.",
            show_default=False,
            autocompletion=asset_types,
        ),
    ] = None


FailOnFindings = Annotated[
    FailOn | None,
    typer.Option(
        "--fail-on",
        metavar="error|warning",
        help="Exit with 6 if findings of this severity, or worse, remain.",
        show_default=False,
    ),
]
AllowEmpty = Annotated[
    bool, typer.Option("--allow-empty", help="It is meant that the local root, which held files, holds none.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
WaitLock = Annotated[
    str | None,
    typer.Option(
        "--wait-lock", metavar="TIME", help="Wait so long for another run to end, as 10m.", show_default=False
    ),
]
NoJournal = Annotated[bool, typer.Option("--no-journal", help="Write no journal: this run cannot be told or undone.")]


def seconds(text: str | None, option: str, default: float = 0.0) -> float:
    """The length of time that an option gives. Raises UsageError."""
    if text is None:
        return default
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}", hint=f"for example {option} 10m") from error


_GROUPS: tuple[type[Any], ...] = (Common, Scoped)
_META = "reconcile.common"
Command = TypeVar("Command", bound=Callable[..., ExitCode])


def command(app: typer.Typer, name: str, **settings: Any) -> Callable[[Command], Command]:
    """Registers a function as a command; a parameter of type ``Common`` or ``Scoped`` becomes that group's options.
    ``settings`` are of the command's context, as click names them."""

    def register(function: Command) -> Command:
        app.command(name, context_settings=settings)(_flattened(function))
        return function

    return register


def keep(context: typer.Context, common: Common) -> None:
    """Remembers the options given before the command's name."""
    context.meta[_META] = common.over(context.meta.get(_META, Common()))


def flatten_callback(function: Callable[..., None]) -> Callable[..., None]:
    """The same wiring for the callback of a group of commands, which takes the context first."""
    return _rewired(function, lambda context, arguments: function(context, **arguments))


def _flattened(function: Callable[..., ExitCode]) -> Callable[..., ExitCode]:
    def run(context: typer.Context, arguments: dict[str, Any]) -> ExitCode:
        for name, value in arguments.items():
            if isinstance(value, Common):
                arguments[name] = value.over(context.meta.get(_META, Common()))
        try:
            return function(**arguments)
        except KeyboardInterrupt as error:
            raise Interrupted("interrupted; nothing more was started", hint="the next run goes on from here") from error

    return _rewired(function, run)


def _rewired(function: Callable[..., Any], run: Callable[[typer.Context, dict[str, Any]], Any]) -> Callable[..., Any]:
    """A function whose signature has each group's fields in the place of the group."""
    hints = get_type_hints(function, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if hint in _GROUPS}

    @functools.wraps(function)
    def wrapper(**given: Any) -> Any:
        context = given.pop("context")
        given = {name: _read(value) for name, value in given.items()}
        arguments: dict[str, Any] = {}
        for name, group in groups.items():
            arguments[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        return run(context, arguments | given)

    parameters = [_parameter("context", typer.Context)]
    for name, parameter in inspect.signature(function).parameters.items():
        if name in groups:
            parameters += _parameters(groups[name])
        elif name != "context":
            parameters.append(_parameter(name, hints[name], parameter.default))
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper


def _read(value: Any) -> Any:
    """Texts as they were typed; paths stay as the system gave them."""
    if type(value) is str:
        return as_text(value)
    return [_read(each) for each in value] if isinstance(value, list) else value


def _parameters(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [_parameter(field.name, hints[field.name], field.default) for field in fields(group)]


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
