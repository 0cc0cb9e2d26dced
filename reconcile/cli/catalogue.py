"""The command list: the catalogue, one row for each asset."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import partial
from typing import Annotated, TypeAlias

import typer

from reconcile.cli.complete import states as known_states
from reconcile.cli.options import Scoped, Sized, option, seconds
from reconcile.cli.session import Session, scope_of
from reconcile.core.catalogue import Asset, AssetState, Lacking
from reconcile.core.errors import ExitCode, UsageError
from reconcile.pipeline.catalogue import Catalogue, with_urls
from reconcile.views.catalogue import show_assets, show_csv, show_json, show_lacking

Texts: TypeAlias = list[str]


def list(
    session: Session,
    scope: Scoped,
    sized: Sized,
    missing: Annotated[bool, typer.Option("--missing", help="List the characters that lack a type instead.")] = False,
    state: Annotated[
        Texts | None,
        option(metavar="STATE", help="Only assets in this state; repeatable.", autocompletion=known_states),
    ] = None,
    urls: Annotated[
        str | None, option(metavar="TIME", help="Add a signed URL to each, valid for this long, e.g. 1h.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write CSV.")] = False,
) -> ExitCode:
    lifetime = None if urls is None else seconds(urls, "--urls")
    if missing and (state or urls):
        raise UsageError("--missing is about what is not there", hint="leave out --state and --urls")
    if as_csv and session.json:
        raise UsageError("--csv and --json are two forms of one list", hint="leave out one of them")
    states = {_state(each) for each in state or ()}
    # A bar would be drawn between the rows.
    with session.opened(sized=sized) as project, session.progress(quiet=sys.stdout.isatty()) as listener:
        catalogue = Catalogue(project, scope_of(project, scope), listener, partial=True)
        kept = (asset for asset in catalogue if not states or asset.state in states)
        assets: Iterable[Asset] = kept
        if lifetime is not None:
            assets = with_urls(kept, partial(project.signer.sign, expires=lifetime), project.bucket)
        without = catalogue.lacking()
        if session.json:
            rows, name = (without, "missing") if missing else (assets, "rows")
            return write_json(session, catalogue, rows, name)
        if as_csv:
            show_csv(sys.stdout, Lacking if missing else Asset, without if missing else assets)
        elif missing:
            show_lacking(session.terminal(), without)
        else:
            show_assets(session.terminal(), assets, urls=lifetime is not None)
    if not catalogue.complete:
        session.warn("a part of a world could not be read, so assets may be left out", of="warning")
    return ExitCode.OK


def _state(name: str) -> AssetState:
    """Returns the state of this name. Raises UsageError."""
    try:
        return AssetState(name)
    except ValueError as error:
        known = ", ".join(each.value for each in AssetState)
        raise UsageError(f"--state: there is no state {name!r}", hint=f"the states are {known}") from error


def write_json(session: Session, catalogue: Catalogue, rows: Iterable[Asset | Lacking], name: str) -> ExitCode:
    """Writes the document, and the error that ended it, if one did."""
    error = show_json(sys.stdout, catalogue.scope, name, rows, lambda: catalogue.complete)
    if error is None:
        return ExitCode.OK
    session.error(error)
    return error.exit_code
