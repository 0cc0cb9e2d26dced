"""verify and restore: the proof that the cloud alone is enough, and the way back from it."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from reconcile.cli.asking import person
from reconcile.cli.files import CERTIFICATE, STDOUT, check_place, check_target, write_whole
from reconcile.cli.options import AllowEmpty, Common, Scoped, WaitLock, Yes, seconds
from reconcile.cli.session import Session, labels_of, scope_of
from reconcile.cli.signals import finish
from reconcile.commands.certifying import Proof
from reconcile.commands.restore import survey
from reconcile.commands.restoring import check, execute
from reconcile.commands.verify import verify as prove
from reconcile.core.errors import Declined, ExitCode, UsageError
from reconcile.core.proof import Mode, Verification, certificate_name
from reconcile.core.report import Report
from reconcile.core.restoration import RestorePlan
from reconcile.project import CONCURRENCY, OpenProject
from reconcile.views import json
from reconcile.views.json import dumps
from reconcile.views.restore import show_restore_plan, show_restored, totals
from reconcile.views.verify import show_verification


def verify(
    common: Common,
    scope: Scoped,
    cloud_only: Annotated[bool, typer.Option("--cloud-only", help="Prove it without reading one local file.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Download and hash every object.")] = False,
    urls: Annotated[bool, typer.Option("--urls", help="Fetch each object through a signed URL.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Write a certificate for each character; - is stdout.", show_default=False
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, metavar="N", help="Objects at once.")] = CONCURRENCY,
) -> ExitCode:
    """Prove that what the records name can be read: every reference resolves to an object with the bytes meant."""
    session = Session(common)
    if out is not None:
        _check_scope(session, out, scope)
    with session.opened(concurrency=concurrency) as project, session.progress() as listener:
        if out is not None and out != STDOUT:
            _check_out(out, project)
        mode = Mode(cloud_only=cloud_only, deep=deep, urls=urls)
        proof = prove(project, scope_of(scope), mode=mode, concurrency=concurrency, listener=listener)
    if out == STDOUT:
        _print(session, proof)
        return proof.verification.exit_code
    found = proof.verification if out is None else _write(proof, out)
    session.result(found, lambda terminal: show_verification(terminal, found, verbose=session.verbose))
    return found.exit_code


def restore(
    common: Common,
    scope: Scoped,
    everything: Annotated[
        bool, typer.Option("--all", help="Also objects that no rule takes and no record names.")
    ] = False,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only show what would be restored.")] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=256, metavar="N", help="Files at once.")] = CONCURRENCY,
    allow_empty: AllowEmpty = False,
    wait_lock: WaitLock = None,
) -> ExitCode:
    """Bring back local files that only the bucket has. Never over a file that is there."""
    session = Session(common)
    if everything and (scope.char_id or scope.asset_type):
        raise UsageError(
            "--all is about objects of no character and no type, so --char-id and --asset-type do not go with it",
            hint="leave one of them out",
        )
    patience = seconds(wait_lock, "--wait-lock")
    with session.opened(concurrency=concurrency, allow_empty=allow_empty, makes_root=True) as project:
        if dry_run:
            return _show(session, project, _survey(session, project, scope, everything=everything))
        with session.lock(project, patience):
            made = _survey(session, project, scope, everything=everything)
            check(project, made)
            _agree(session, project, made, yes=yes)
            report = session.working(
                lambda listener, stop: execute(project, made, concurrency=concurrency, listener=listener, stop=stop)
            )
    _tell(session, made, report)
    return report.exit_code


def _check_scope(session: Session, out: Path, scope: Scoped) -> None:
    """Raises UsageError if certificates of this scope cannot be written to ``--out``."""
    if scope.asset_type:
        raise UsageError(
            "a certificate is about everything that a record names, so --asset-type does not go with --out",
            hint="leave --asset-type out",
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
    """Raises UsageError if certificates cannot be written to ``--out``, before anything is read."""
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
    """The certificate to stdout, and what the proof came to aside."""
    if not session.common.quiet:
        show_verification(session.terminal(aside=True), proof.verification, verbose=session.verbose)
    finish()
    for certificate in proof.certificates:
        json.show(sys.stdout, certificate)


def _is_file(out: Path) -> bool:
    return out.suffix == ".json" and not os.path.isdir(out)


def _write(proof: Proof, out: Path) -> Verification:
    """Writes the certificates, each whole; the verification that names them."""
    names: list[str] = []
    for certificate in proof.certificates:
        path = out if _is_file(out) else out / certificate_name(certificate.char_id, certificate.created)
        write_whole(path, dumps(certificate), CERTIFICATE)
        names.append(str(path).encode("utf-8", "backslashreplace").decode("utf-8"))
    return replace(proof.verification, certificates=tuple(names))


def _survey(session: Session, project: OpenProject, scope: Scoped, *, everything: bool) -> RestorePlan:
    with session.progress() as listener:
        return survey(project, scope_of(scope), everything=everything, listener=listener)


def _show(session: Session, project: OpenProject, made: RestorePlan) -> ExitCode:
    labels = labels_of(project)
    session.result(made, lambda terminal: show_restore_plan(terminal, made, labels, verbose=session.verbose))
    return ExitCode.OK if made.complete else ExitCode.FAILED


def _agree(session: Session, project: OpenProject, made: RestorePlan, *, yes: bool) -> None:
    """Shows what will be made, and asks, if there is someone to answer. Raises Declined."""
    with nullcontext() if yes or not made.actions else person() as asked:
        if asked is not None or not (session.json or session.common.quiet):
            terminal = session.terminal(aside=session.json)
            show_restore_plan(terminal, made, labels_of(project), verbose=session.verbose)
        about = "" if session.is_seen(aside=session.json) else totals(made)
        if asked is not None and not asked.confirms("Restore these files?", about=about):
            raise Declined("declined; nothing was changed")


def _tell(session: Session, made: RestorePlan, report: Report) -> None:
    """The report; if the plan was shown and had nothing to do, that was said already."""
    if session.json or session.common.quiet:
        session.result(report, lambda terminal: show_restored(terminal, report, verbose=session.verbose))
    elif made.actions:
        terminal = session.terminal()
        terminal.line()
        show_restored(terminal, report, verbose=session.verbose)
