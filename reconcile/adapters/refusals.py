"""Classifies refusals by Google that a role does not fix: the error that each one means, and what to do about it.

Google uses one status for many causes. The reasons in the answer's body are looked up first, then its words; the first
matching row counts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec

from reconcile.core.errors import AccessDenied, Rejected, StoreError, StoreMissing, StoreUnavailable

LOGIN = "log in: gcloud auth application-default login"
_SHOWN = 400


class Meaning(NamedTuple):
    """The error class of a refusal, what to do about it, and the reasons and words that identify it."""

    kind: type[StoreError]
    hint: str
    reasons: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    """Each is a part of the answer's text in lower case; ``a & b`` requires both."""


_ANYWHERE = (
    Meaning(
        AccessDenied,
        "a VPC Service Controls perimeter keeps this account or this machine out; give the identifier to whoever"
        " administers the organization, or run inside the perimeter",
        ("vpcServiceControls", "SECURITY_POLICY_VIOLATED", "VPC_SERVICE_CONTROLS"),
        ("vpcservicecontrolsuniqueidentifier", "vpc service controls", "prohibited by organization's policy"),
    ),
    Meaning(
        AccessDenied,
        "enable the API in that project: gcloud services enable {api} (it takes effect after some minutes)",
        ("SERVICE_DISABLED", "accessNotConfigured"),
        ("has not been used in project", "it is disabled. enable it by visiting"),
    ),
    Meaning(
        AccessDenied,
        "the credentials lack a scope: give the machine's service account the scope cloud-platform, or log in:"
        " gcloud auth application-default login",
        ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "insufficientScopes"),
        ("insufficient authentication scopes", "scope(s)"),
    ),
    Meaning(
        AccessDenied,
        "grant the account roles/serviceusage.serviceUsageConsumer on the project that is charged, or name another",
        ("USER_PROJECT_DENIED", "userProjectAccessDenied"),
        ("permission to use project", "serviceusage.services.use"),
    ),
    Meaning(
        AccessDenied,
        "the project's billing is closed or off; link an open billing account to it in the console, under Billing",
        ("accountDisabled", "BILLING_DISABLED", "billingNotEnabled", "billingDisabled", "UserProjectAccountProblem"),
        (
            "billing account & disabled",
            "billing account & closed",
            "requires billing",
            "billing to be enabled",
            "owning project is disabled",
        ),
    ),
    Meaning(
        AccessDenied,
        "the project is suspended or deleted; look at it in the console, or name another one in the rules",
        ("CONSUMER_SUSPENDED", "CONSUMER_INVALID", "projectSuspended"),
        ("has been suspended", "project & has been deleted", "is pending deletion"),
    ),
    Meaning(
        AccessDenied,
        "Google does not accept the API key or the token; " + LOGIN,
        ("API_KEY_INVALID", "ACCESS_TOKEN_EXPIRED", "ACCOUNT_STATE_INVALID"),
    ),
    Meaning(
        StoreUnavailable,
        "the quota is used up; wait until it is renewed, or raise it in the console, under IAM & Admin, Quotas",
        ("quotaExceeded", "dailyLimitExceeded", "dailyLimitExceededUnreg", "RESOURCE_QUOTA_EXCEEDED"),
        ("quota exceeded", "exceeded your quota", "free daily"),
    ),
)

_BUCKET = (
    Meaning(
        AccessDenied,
        "the bucket's requesters pay: name the project that is charged as user_project under [bucket] in the rules",
        ("userProjectMissing", "authenticationRequiredRequesterPays"),
        ("requester pays bucket", "no user project provided"),
    ),
    Meaning(
        AccessDenied,
        "correct user_project under [bucket] in the rules: the id of a project that exists",
        ("userProjectInvalid", "userProjectInconsistent"),
        ("user project specified in the request is invalid", "user project & invalid"),
    ),
    Meaning(
        AccessDenied,
        "the key with which the bucket encrypts cannot be used: enable it, and grant the bucket's service agent"
        " roles/cloudkms.cryptoKeyEncrypterDecrypter on it",
        (
            "cloudKmsBadKey",
            "cloudKmsDisabledKey",
            "cloudKmsDecryptionKeyNotFound",
            "cloudKmsEncryptionKeyNotFound",
            "cloudKmsKeyLocationNotAllowed",
            "cloudKmsKeyDisabled",
            "kmsKeyDisabled",
            "KEY_DISABLED",
            "CMEK_KEY_NOT_AVAILABLE",
        ),
        ("kms key", "cloudkms", "cloud kms", "cryptokeys/"),
    ),
    Meaning(
        Rejected,
        "the object is under a hold or a retention policy; release it, or leave it",
        ("objectUnderActiveHold", "retentionPolicyNotMet", "objectUnderRetention"),
        ("retention", "under active"),
    ),
    Meaning(
        Rejected,
        "a policy of the organization forbids it; ask whoever administers the organization",
        (
            "orgPolicyConstraintFailed",
            "ORG_RESTRICTION_VIOLATION",
            "LOCATION_ORG_POLICY_VIOLATED",
            "orgPolicyViolated",
            "ORG_POLICY_VIOLATION",
            "ORGANIZATION_POLICY_VIOLATED",
            "constraintViolation",
        ),
        ("violates constraint", "constraints/", "organization policy", "org policy"),
    ),
    Meaning(
        AccessDenied,
        "the bucket accepts requests from some networks only (IP filter); run on one of them, or have this one added",
        ("ipFilterDenied",),
        ("ip filter",),
    ),
    Meaning(
        Rejected,
        "the object is encrypted with a key that its owner keeps, which reconcile does not have: upload it again"
        " without one",
        ("resourceIsEncryptedWithCustomerEncryptionKey", "customerEncryptionKeyIsIncorrect"),
        ("customer-supplied encryption key", "customer supplied encryption key"),
    ),
    Meaning(AccessDenied, "Google does not serve this country; run from another one", ("countryBlocked",)),
    Meaning(
        AccessDenied,
        "the bucket prevents public access, and there are no credentials; " + LOGIN,
        (),
        ("public access prevention", "publicaccessprevention"),
    ),
)

_RECORDS = (
    Meaning(
        StoreMissing,
        "the database is in Datastore mode, which has no documents; create one in Native mode, or correct records.uri",
        ("DATASTORE_MODE",),
        ("datastore mode", "datastore-mode", "not available for firestore in datastore"),
    ),
    Meaning(
        Rejected,
        "create the index: the answer names the page of the console that does it; while it is built, wait",
        ("MISSING_INDEX",),
        ("requires an index", "index is not ready", "index & currently building", "requires a composite index"),
    ),
    Meaning(
        StoreMissing,
        "create the database in Native mode (gcloud firestore databases create), or correct records.uri",
        ("DATABASE_NOT_FOUND",),
        ("database & does not exist", "database & not found", "database & not exist"),
    ),
    Meaning(
        StoreMissing,
        "correct the project in records.uri, or choose one that these credentials may see",
        ("PROJECT_NOT_FOUND",),
        ("project & does not exist", "project & not found"),
    ),
)


def of_bucket(reasons: Collection[str], said: str) -> Meaning | None:
    """Returns what a refusal by the bucket means, or None if it says no more than its status."""
    return _meaning((*_BUCKET, *_ANYWHERE), reasons, said, "storage.googleapis.com")


def of_records(reasons: Collection[str], said: str) -> Meaning | None:
    """Returns what a refusal by the database means, or None if it says no more than its status."""
    return _meaning((*_ANYWHERE, *_RECORDS), reasons, said, "firestore.googleapis.com")


def of_signing(said: str) -> Meaning | None:
    """Returns what a refusal by the URL signing service means, or None if it says no more than its status."""
    return _meaning(_ANYWHERE, (), said, "iamcredentials.googleapis.com")


def _meaning(rows: Sequence[Meaning], reasons: Collection[str], said: str, api: str) -> Meaning | None:
    lower = said.lower()
    if "does not have storage." in lower:  # a role is missing; what follows is an object's name, which may be anything
        lower = ""
    known = {_spelled(reason) for reason in reasons}
    by_reason = (row for row in rows if any(_spelled(reason) in known for reason in row.reasons))
    by_words = (row for row in rows if any(all(map(lower.__contains__, each.split(" & "))) for each in row.words))
    row = next(by_reason, None) or next(by_words, None)
    return None if row is None else row._replace(hint=row.hint.format(api=api))


def _spelled(reason: str) -> str:
    """Returns the same spelling for ``userProjectMissing`` and ``USER_PROJECT_MISSING``, since the APIs differ."""
    return reason.replace("_", "").lower()


def error_in(body: bytes) -> tuple[str, frozenset[str]]:
    """Returns the message in the body of an error answer, and its reasons; for any other body, its beginning as one
    line."""
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        found = None
    error = found.get("error") if isinstance(found, dict) else None
    if not isinstance(error, dict):
        text = error if isinstance(error, str) else body[: 4 * _SHOWN].decode("utf-8", "replace")
        return one_line(text), frozenset()
    reasons = reasons_in(error.get("errors")) | reasons_in(error.get("details"))
    message = error.get("message")
    if "insufficientPermissions" in reasons and str(message).strip(" .").lower() == "insufficient permission":
        reasons |= {"ACCESS_TOKEN_SCOPE_INSUFFICIENT"}  # for a missing role, Google names the permission
    return one_line(message) if isinstance(message, str) else "", reasons


def reasons_in(details: Any) -> frozenset[str]:
    """Returns the reasons in the details of an error, such as ``SERVICE_DISABLED``: those of the details themselves,
    and the types of violated preconditions."""
    listed = _maps(details)
    found = [each.get("reason") for each in listed]
    found += [violation.get("type") for each in listed for violation in _maps(each.get("violations"))]
    return frozenset(each for each in found if isinstance(each, str))


def _maps(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def one_line(text: str) -> str:
    """Returns somebody else's text as one line of bounded length, without a final full stop."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
