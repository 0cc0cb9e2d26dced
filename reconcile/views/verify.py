"""A verification as text: how it was made, its problems, and the counts."""

from __future__ import annotations

from collections.abc import Iterator

from reconcile.core.errors import ExitCode
from reconcile.core.proof import Verification
from reconcile.views import words
from reconcile.views.findings import show_findings
from reconcile.views.plan import at, show_scope
from reconcile.views.terminal import Terminal

_SHOWN = 3


def show_verification(terminal: Terminal, found: Verification, *, verbose: bool = False) -> None:
    """Writes the stores with their servers, the kind of proof, each problem with what to do, and the verdict."""
    stores = found.stores
    terminal.line(("Local    ", "dim"), "none read" if found.mode.cloud_only else stores.local)
    terminal.line(("Bucket   ", "dim"), at(stores.bucket, stores.bucket_endpoint))
    terminal.line(("Records  ", "dim"), at(stores.records, stores.records_endpoint))
    terminal.line(("Proof    ", "dim"), "; ".join(_manner(found)))
    show_scope(terminal, found.scope)
    show_findings(terminal, found.problems, verbose=verbose)
    terminal.line()
    terminal.prose(verdict(found), style="bold green" if found.exit_code is ExitCode.OK else "bold red")
    for path in found.certificates if verbose else found.certificates[:_SHOWN]:
        terminal.line(("Certificate  ", "dim"), path)
    if not verbose and len(found.certificates) > _SHOWN:
        terminal.line((f"and {len(found.certificates) - _SHOWN:,} more (--verbose shows all)", "dim"))


def verdict(found: Verification) -> str:
    """Returns one sentence with every count."""
    read = f"; {words.size(found.bytes)} read and hashed" if found.bytes else ""
    where = f"in {words.many(found.documents, 'record')}, to {words.many(found.objects, 'object')}"
    counts = f"{found.ok:,} of {words.many(found.checked, 'reference')} {where}{read}, in {found.seconds:.1f} s."
    match found.exit_code:
        case ExitCode.OK:
            return f"Proved: {counts}"
        case ExitCode.FAILED:
            return f"Neither proved nor disproved, because the store did not answer for all of it: {counts}"
        case _:
            count = len(found.problems)
            why = "The problem above says" if count == 1 else f"The {count:,} problems above say"
            return f"Not proved: {counts} {why} why."


def _manner(found: Verification) -> Iterator[str]:
    yield "no local file read" if found.mode.cloud_only else "compared with local files if they exist"
    if found.mode.urls:
        yield "fetched whole through signed URLs" if found.mode.deep else "fetched through signed URLs"
    elif found.mode.deep:
        yield "every byte downloaded and hashed"
    else:
        yield "by the checksums that the bucket keeps"
