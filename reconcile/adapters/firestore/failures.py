"""Translates the status of a failed Firestore call: whether it is transient, and which of our errors it means."""

from __future__ import annotations

from reconcile.adapters import refusals
from reconcile.adapters.firestore.calls import CallFailed
from reconcile.adapters.network import Fault, grpc_fault_of
from reconcile.adapters.retry import SPENT
from reconcile.core.errors import AccessDenied, Rejected, StoreError, StoreMissing, StoreUnavailable

TRANSIENT = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "ABORTED", "CANCELLED", "RESOURCE_EXHAUSTED"}
)
MAYBE_APPLIED = TRANSIENT - {"RESOURCE_EXHAUSTED"}
"""After these, a commit may have been applied and only its reply lost."""
MAY_STILL_LAND = frozenset({"DEADLINE_EXCEEDED", "CANCELLED", "UNKNOWN"})
"""After these, the server may still be working on the commit."""
ABOUT_THE_MOMENT = frozenset({"FAILED_PRECONDITION", "INVALID_ARGUMENT"})
"""The statuses that refuse a read at a past time which is older than the database's retention."""
ABOUT_THE_DOCUMENT = frozenset({"FAILED_PRECONDITION", "NOT_FOUND", "ALREADY_EXISTS"})

_QUOTA = (
    "wait (the free quota begins again at midnight in California), use a lower --concurrency, enable billing, or raise"
    " the quota of the project"
)
LOGIN = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"


def nonsense(place: str, answer: str) -> StoreError:
    """Returns the error for an answer that Firestore would never give."""
    return StoreUnavailable(
        f"{place} does not answer as Firestore does: it answers {answer}",
        hint="use Google's own emulator as records.endpoint",
    )


def error_of(
    failure: CallFailed, place: str, host: str, document: str = "", *, spent: bool = False, advice: str = ""
) -> StoreError:
    """Returns our error for a failed call, with the server's own words.

    ``spent`` says that no retries are left; ``advice`` is what else to check if the server does not answer.
    """
    where = f"{place}/{document}" if document else place
    fault = failure.fault
    if not (failure.reached or failure.unsent):
        fault = grpc_fault_of(failure.details, host)
    if fault is not None:
        kind = AccessDenied if fault.kind in (Fault.REFUSED, Fault.SETTING) else StoreUnavailable
        return kind(f"{where} could not be reached: {fault.message}", hint=fault.hint)
    if failure.code == "NO_CREDENTIALS":
        return AccessDenied(f"there are no credentials for {place}: {failure.details}", hint=LOGIN)
    if failure.no_token:
        return AccessDenied(f"{where} could not be reached with these credentials: {failure.details}", hint=LOGIN)
    meaning = refusals.of_records(failure.reasons, failure.details)
    match failure.code:
        case "PERMISSION_DENIED" | "FAILED_PRECONDITION" | "NOT_FOUND" if meaning is not None:
            return meaning.kind(f"{where} cannot be used: {failure.details}", hint=meaning.hint)
        case "PERMISSION_DENIED":
            return AccessDenied(f"{where} may not be used: {failure.details}", hint=_role(place))
        case "NOT_FOUND":
            hint = "create a Firestore database in Native mode, or correct records.uri"
            return StoreMissing(f"there is no such database for {where}: {failure.details}", hint=hint)
        case "FAILED_PRECONDITION":
            hint = "do what the answer says, then run again"
            return Rejected(f"{where} is not ready for this: {failure.details}", hint=hint)
        case "INVALID_ARGUMENT" | "OUT_OF_RANGE":
            return Rejected(f"{where} was refused: {failure.details}", hint="correct the value, then run again")
        case "RESOURCE_EXHAUSTED":
            hint = SPENT if spent else _QUOTA
            return StoreUnavailable(f"{where} is over its quota: {failure.details}", hint=hint)
        case _:
            look = "look at records.uri, records.endpoint and the network, then run again"
            hint = SPENT if spent else "; ".join(filter(None, (look, advice)))
            return StoreUnavailable(f"{where} does not answer as it should: {failure}", hint=hint)


def _role(place: str) -> str:
    project = place.removeprefix("firestore://").partition("/")[0]
    grant = f"gcloud projects add-iam-policy-binding {project} --member=ACCOUNT --role=roles/datastore.user"
    return f"grant the account roles/datastore.user on the project: {grant}"


def maybe_applied(failure: CallFailed) -> bool:
    """Whether a commit that failed this way may have been applied."""
    return failure.code in MAYBE_APPLIED and failure.reached
