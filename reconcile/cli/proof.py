"""The commands verify and restore: prove that the cloud alone is enough, and bring local files back from it."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from reconcile.cli.files import CERTIFICATE, STDOUT, check_place, check_target, write_whole
from reconcile.cli.options import AllowEmpty, Concurrency, DryRun, Scoped, Sized, WaitLock, Yes, option, seconds
from reconcile.cli.session import Session, labels_of, scope_of
from reconcile.cli.signals import finish
from reconcile.commands.restore import survey
from reconcile.commands.restoring import check, execute
from reconcile.commands.verify import Proof
from reconcile.commands.verify import verify as prove
from reconcile.core.errors import ExitCode, UsageError
from reconcile.core.names import escaped
from reconcile.core.proof import Mode, Verification, certificate_name
from reconcile.core.restoration import RestorePlan
from reconcile.project import OpenProject
from reconcile.run_options import RunOptions
from reconcile.views import json
from reconcile.views.report import RESTORE
from reconcile.views.restore import show_restore_plan, totals
from reconcile.views.terminal import Terminal
from reconcile.views.verify import show_verification


def verify(
    session: Session,
    scope: Scoped,
    cloud_only: Annotated[bool, typer.Option("--cloud-only", help="Prove it without reading any local file.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Download and hash every object.")] = False,
    urls: Annotated[bool, typer.Option("--urls", help="Fetch each object through a signed URL.")] = False,
    out: Annotated[
        Path | None, option(metavar="DIR", help="Write a certificate for each character; - is stdout.")
    ] = None,
    concurrency: Concurrency = None,
) -> ExitCode:
    if out is not None:
        _check_scope(session, out, scope)
    with session.opened(RunOptions(concurrency)) as project, session.progress() as listener:
        if out is not None and out != STDOUT:
            _check_out(out, project)
        mode = Mode(cloud_only=cloud_only, deep=deep, urls=urls)
        proof = prove(project, scope_of(project, scope), mode=mode, listener=listener)
    if out == STDOUT:
        _print(session, proof)
        return proof.verification.exit_code
    found = proof.verification if out is None else _write(proof, out)
    session.result(found, lambda terminal: show_verification(terminal, found, verbose=session.verbose))
    return found.exit_code


def restore(
    session: Session,
    scope: Scoped,
    sized: Sized,
    everything: Annotated[
        bool, typer.Option("--all", help="Bring back objects that no rule matches and no record names, too.")
    ] = False,
    beside: Annotated[
        bool,
        typer.Option("--beside", help="Write the bucket's version of a file that differs next to it: NAME.bucket.EXT."),
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    concurrency: Concurrency = None,
    allow_empty: AllowEmpty = False,
    wait_lock: WaitLock = None,
) -> ExitCode:
    if everything and scope:
        raise UsageError(
            "--all is about objects of no character and no type, so --char-id, --asset-type and --path do not go with"
            " it",
            hint="leave one of them out",
        )
    patience = seconds(wait_lock, "--wait-lock")

    def look(project: OpenProject) -> RestorePlan:
        with session.progress() as listener:
            return survey(project, scope_of(project, scope), everything=everything, beside=beside, listener=listener)

    def show(terminal: Terminal) -> None:
        show_restore_plan(terminal, made, labels_of(project), verbose=session.verbose)

    with session.opened(RunOptions(concurrency, allow_empty, makes_root=True), sized=sized) as project:
        if dry_run:
            made = look(project)
            session.result(made, show)
            return ExitCode.OK if made.complete else ExitCode.FAILED
        with session.lock(project, patience):
            made = look(project)
            check(project, made)
            session.agree("Restore these files?", totals(made), show, yes=yes or not made.actions)
            report = session.execute(partial(execute, project, made))
    session.report(report, RESTORE, planned=bool(made.actions))
    return report.exit_code


def _check_scope(session: Session, out: Path, scope: Scoped) -> None:
    """Checks that certificates of this scope can be written to ``--out``. Raises UsageError."""
    if scope.asset_type or scope.path:
        raise UsageError(
            "a certificate is about everything that a record names, so --asset-type and --path do not go with --out",
            hint="leave them out",
        )
    if out == STDOUT and session.json:
        raise UsageError(
            "stdout can hold the certificate (--out -) or the document (--json)", hint="leave one of them out"
        )
    if (out == STDOUT or _is_file(out)) and len(set(scope.char_id or ())) != 1:
        raise UsageError(
            f"--out {str(out)!r} names one file, and there is a certificate for each character",
            hint="name a folder, or one character with --char-id",
        )


def _check_out(out: Path, project: OpenProject) -> None:
    """Checks, before anything is read, that certificates can be written to ``--out``. Raises UsageError."""
    if _is_file(out):
        check_target(out, CERTIFICATE, project.settings)
        return
    check_place(out, project.settings)
    try:
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out {str(out)!r} is not a folder", hint="name a folder for the certificates")
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--out {str(out)!r}: the folder cannot be made: {error.strerror}", hint="name another"
        ) from error


def _print(session: Session, proof: Proof) -> None:
    """Writes the certificate to stdout, and the verification to stderr."""
    if not session.common.quiet:
        show_verification(session.terminal(aside=True), proof.verification, verbose=session.verbose)
    finish()
    for certificate in proof.certificates:
        json.show(sys.stdout, certificate)


def _is_file(out: Path) -> bool:
    return out.suffix == ".json" and not os.path.isdir(out)


def _write(proof: Proof, out: Path) -> Verification:
    """Writes the certificates, each whole. Returns the verification that names them."""
    names: list[str] = []
    for certificate in proof.certificates:
        path = out if _is_file(out) else out / certificate_name(certificate.char_id, certificate.created)
        write_whole(path, json.dumps(certificate), CERTIFICATE)
        names.append(escaped(str(path)))
    return replace(proof.verification, certificates=tuple(names))
