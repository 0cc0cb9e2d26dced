"""The command scan, and the options --objects-from and --engine beam: reading and planning on other machines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from reconcile.adapters.shared_folder import DiskFolder, bucket_place
from reconcile.cli.files import check_place
from reconcile.cli.options import Scoped, option
from reconcile.cli.session import Session
from reconcile.commands import scanning
from reconcile.commands.sharing import check_free
from reconcile.core.errors import ExitCode, UsageError
from reconcile.core.plan import Plan
from reconcile.core.scan import NAME
from reconcile.project import OpenProject
from reconcile.views.words import size as shown

_INVENTORY = "inventory:"


def scan(
    session: Session,
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder to write to; may be gs://.")],
    name: Annotated[
        str | None, option(metavar="NAME", help="A name for this machine instead of its host name.")
    ] = None,
) -> ExitCode:
    called = name if name is not None else scanning.this_machine()
    if NAME.fullmatch(called) is None:
        raise UsageError(f"{called!r} is not a valid name of a machine", hint="use only letters, digits, ., _ and -")
    with session.opened() as project:
        if bucket_place(out) is None:
            check_place(out, project.settings)
        folder = project.shared_folder(out)
        check_free(folder)
        with session.progress() as listener:
            made = scanning.scan(project, folder, called, listener)
    told = f"{made.files:,} files of {made.name}, {shown(made.bytes)}, are in {made.folder}"
    session.result(made, lambda terminal: terminal.line(told))
    return ExitCode.OK


def inventory_of(given: str) -> str:
    """Returns the URI of the inventory reports that --objects-from names. Raises UsageError."""
    uri = given.removeprefix(_INVENTORY)
    if uri == given or not uri.startswith("gs://"):
        raise UsageError(
            f"--objects-from {given!r} is not {_INVENTORY}gs://BUCKET/PREFIX/",
            hint="name the folder into which Storage Insights writes its reports of the bucket",
        )
    return uri


def plan_on_beam(session: Session, project: OpenProject, scope: Scoped, arguments: Sequence[str]) -> Plan:
    """Plans everything on Apache Beam. If no scan is given, the files of this machine are scanned first."""
    if scope:
        raise UsageError(
            "--engine beam plans everything", hint="without it, --char-id, --asset-type and --path are quick"
        )
    try:
        from reconcile.pipeline.beam_run import survey
        from reconcile.pipeline.beam_runner import options_of
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--engine beam needs Apache Beam, and there is no {error.name}", hint="pip install 'reconcile[beam]'"
        ) from error
    options, folders = options_of(arguments), project.options.scans
    with TemporaryDirectory(dir=project.spill_folder(), prefix="scan-") as folder, session.progress() as listener:
        if not folders:
            folders = (Path(folder) / "here",)
            scanning.scan(project, DiskFolder(folders[0]), "here", listener)
        return survey(project, folders, options, listener).plan
