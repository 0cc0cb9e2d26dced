"""What is said of a refusal by Google: the hint fits the reason. Through the real clients, in the services' words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from reconcile.adapters.firestore.store import FirestoreRecordStore
from reconcile.adapters.gcs.store import GcsObjectStore
from reconcile.core.errors import (
    AccessDenied,
    PreconditionFailed,
    Rejected,
    StoreError,
    StoreMissing,
    StoreUnavailable,
)
from tests.servers.clock import SkippingClock
from tests.servers.faults import FOREVER, Fault
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

Code = grpc.StatusCode
API_DISABLED = (
    "Cloud Storage JSON API has not been used in project 123 before or it is disabled. Enable it by visiting"
    " https://console.developers.google.com/apis/api/storage.googleapis.com/overview?project=123 then retry."
)
PERIMETER = "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: Xa3"


@pytest.fixture
def gcs() -> Iterator[GcsServer]:
    with GcsServer() as started:
        started.world.make_bucket("b")
        yield started


@pytest.fixture
def objects(gcs: GcsServer) -> Iterator[GcsObjectStore]:
    with GcsObjectStore("b", "", gcs.url, deadline=0.2) as opened:
        yield opened


@pytest.fixture
def records(firestore_server: FirestoreServer) -> Iterator[FirestoreRecordStore]:
    opened = FirestoreRecordStore.open("p", "(default)", "characters", firestore_server.address, deadline=2.0)
    yield opened
    opened.close()


def answer(status: int, message: str, reason: str = "forbidden", **beside: Any) -> Fault:
    error = {"code": status, "message": message, "errors": [{"message": message, "reason": reason}], **beside}
    return Fault(status=status, body=lambda: json.dumps({"error": error}).encode(), times=FOREVER)


def info(reason: str) -> list[dict[str, Any]]:
    return [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}]


@pytest.mark.parametrize(
    ("fault", "kind", "hint"),
    [
        (answer(403, "ai@x does not have storage.objects.get access"), AccessDenied, "roles/storage.objectUser"),
        (answer(403, "The account is disabled.", "accountDisabled"), AccessDenied, "billing"),
        (
            answer(403, "The billing account for the owning project is disabled"),
            AccessDenied,
            "link an open billing account",
        ),
        (answer(403, "The project to be billed is odd.", "UserProjectAccountProblem"), AccessDenied, "billing"),
        (answer(403, API_DISABLED, "accessNotConfigured"), AccessDenied, "services enable storage.googleapis.com"),
        (answer(403, "No.", details=info("SERVICE_DISABLED")), AccessDenied, "services enable storage.googleapis.com"),
        (answer(403, "No.", details=info("BILLING_DISABLED")), AccessDenied, "link an open billing account"),
        (answer(403, PERIMETER, "vpcServiceControls"), AccessDenied, "perimeter"),
        (answer(403, "No.", details=info("SECURITY_POLICY_VIOLATED")), AccessDenied, "perimeter"),
        (
            answer(403, "No.", details=[{"violations": [{"type": "VPC_SERVICE_CONTROLS"}]}]),
            AccessDenied,
            "perimeter",
        ),
        (answer(403, "Insufficient Permission", "insufficientPermissions"), AccessDenied, "scope"),
        (answer(403, "ai@x lacks storage.objects.list", "insufficientPermissions"), AccessDenied, "objectUser"),
        (answer(403, "No.", details=info("ACCESS_TOKEN_SCOPE_INSUFFICIENT")), AccessDenied, "scope"),
        (answer(403, "Provided scope(s) are not authorized"), AccessDenied, "scope"),
        (answer(403, "constraints/storage.publicAccessPrevention is violated"), Rejected, "policy of the organization"),
        (answer(412, "A constraint is violated.", "orgPolicyConstraintFailed"), Rejected, "policy of the organization"),
        (answer(403, "Subject to the bucket's retention policy.", "retentionPolicyNotMet"), Rejected, "retention"),
        (answer(403, "It is held.", "objectUnderActiveHold"), Rejected, "hold"),
        (answer(403, "Permission denied on Cloud KMS key."), AccessDenied, "cryptoKeyEncrypterDecrypter"),
        (answer(400, "The key is disabled.", "cloudKmsDisabledKey"), AccessDenied, "enable it"),
        (
            answer(400, "Bucket is a requester pays bucket but no user project provided.", "required"),
            AccessDenied,
            "user_p",
        ),
        (answer(400, "No.", "UserProjectMissing"), AccessDenied, "user_project under [bucket]"),
        (answer(400, "No.", "UserProjectInvalid"), AccessDenied, "correct user_project"),
        (
            answer(403, "x does not have serviceusage.services.use access to the Google Cloud project."),
            AccessDenied,
            "roles/serviceusage.serviceUsageConsumer",
        ),
        (answer(403, "No.", details=info("USER_PROJECT_DENIED")), AccessDenied, "serviceUsageConsumer"),
        (answer(403, "No.", details=info("CONSUMER_SUSPENDED")), AccessDenied, "suspended"),
        (answer(403, "There is an IP filtering condition that is preventing access."), AccessDenied, "IP filter"),
        (answer(403, "No.", "dailyLimitExceeded"), StoreUnavailable, "quota"),
        (answer(403, "No.", "rateLimitExceeded"), StoreUnavailable, "run again later"),
        (answer(403, "No.", details=info("RATE_LIMIT_EXCEEDED")), StoreUnavailable, "run again later"),
    ],
    ids=lambda value: value.body()[:90].decode() if isinstance(value, Fault) else None,
)
def test_a_bucket_that_refuses_is_explained_by_its_reason(
    gcs: GcsServer, objects: GcsObjectStore, fault: Fault, kind: type[StoreError], hint: str
) -> None:
    gcs.script.add(fault)
    with pytest.raises(kind) as caught:
        list(objects.list())
    assert hint in caught.value.hint
    assert ("roles/storage.objectUser" in caught.value.hint) == ("objectUser" in hint)


def test_a_precondition_that_failed_is_still_one(gcs: GcsServer, objects: GcsObjectStore) -> None:
    gcs.script.add(answer(412, "At least one of the pre-conditions you specified did not hold.", "conditionNotMet"))
    with pytest.raises(PreconditionFailed):
        objects.get("a.png")


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"message": 7, "errors": "x", "details": {"a": 1}}}',
        b'{"error": {"errors": [1, null, {"reason": ["x"]}], "details": [{"reason": {}, "violations": 3}]}}',
        b'{"error": "invalid_grant"}',
        b'["error"]',
        b"null",
        b"<html>",
        b"[" * 100_000,
        b'{"error": {"errors": [{"reason": "%b"}]}}' % (b"x" * 1000),
    ],
    ids=lambda body: body[:60].decode(),
)
def test_an_error_in_a_shape_of_its_own_is_told_by_its_status(
    gcs: GcsServer, objects: GcsObjectStore, body: bytes
) -> None:
    gcs.script.add(Fault(status=403, body=lambda: body, times=FOREVER))
    with pytest.raises(AccessDenied, match="answered 403") as caught:
        objects.get("a.png")
    assert "roles/storage.objectUser" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "details", "reason", "kind", "said", "hint"),
    [
        (
            Code.FAILED_PRECONDITION,
            "The query requires an index. You can create it here: https://console.firebase.google.com/x",
            "",
            Rejected,
            "cannot be used",
            "create the index",
        ),
        (
            Code.FAILED_PRECONDITION,
            "The query requires an index. That index is currently building and cannot be used yet. See https://x",
            "",
            Rejected,
            "cannot be used",
            "while it is built, wait",
        ),
        (
            Code.FAILED_PRECONDITION,
            "The Cloud Firestore API is not available for Firestore in Datastore Mode database projects/p/databases/d.",
            "",
            StoreMissing,
            "cannot be used",
            "is in Datastore mode",
        ),
        (
            Code.FAILED_PRECONDITION,
            "The Cloud Firestore API is not available for Datastore Mode projects.",
            "",
            StoreMissing,
            "cannot be used",
            "is in Datastore mode",
        ),
        (
            Code.NOT_FOUND,
            "The database (default) does not exist for project p Please visit https://console.cloud.google.com/x",
            "",
            StoreMissing,
            "cannot be used",
            "create the database in Native mode",
        ),
        (
            Code.PERMISSION_DENIED,
            "Cloud Firestore API has not been used in project p before or it is disabled. Enable it by visiting x",
            "SERVICE_DISABLED",
            AccessDenied,
            "cannot be used",
            "gcloud services enable firestore.googleapis.com",
        ),
        (
            Code.PERMISSION_DENIED,
            "Cloud Firestore API has not been used in project p before or it is disabled. Enable it by visiting x",
            "",
            AccessDenied,
            "cannot be used",
            "gcloud services enable firestore.googleapis.com",
        ),
        (
            Code.PERMISSION_DENIED,
            "This API method requires billing to be enabled. Please enable billing on project #p by visiting x",
            "BILLING_DISABLED",
            AccessDenied,
            "cannot be used",
            "link an open billing account",
        ),
        (Code.PERMISSION_DENIED, PERIMETER, "SECURITY_POLICY_VIOLATED", AccessDenied, "cannot be used", "perimeter"),
        (
            Code.PERMISSION_DENIED,
            "Request had insufficient authentication scopes.",
            "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            AccessDenied,
            "cannot be used",
            "scope",
        ),
        (Code.PERMISSION_DENIED, "No.", "USER_PROJECT_DENIED", AccessDenied, "cannot", "serviceUsageConsumer"),
        (Code.PERMISSION_DENIED, "No.", "CONSUMER_SUSPENDED", AccessDenied, "cannot", "suspended"),
        (
            Code.PERMISSION_DENIED,
            "Missing or insufficient permissions.",
            "",
            AccessDenied,
            "may not be used",
            "gcloud projects add-iam-policy-binding p --member=ACCOUNT --role=roles/datastore.user",
        ),
        (Code.FAILED_PRECONDITION, "The database is being moved.", "", Rejected, "not ready", "answer says"),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else None,
)
@pytest.mark.parametrize("method", ["RunQuery", "BatchGetDocuments", "Commit"])
def test_a_database_that_refuses_is_explained_by_its_reason(
    records: FirestoreRecordStore,
    firestore_server: FirestoreServer,
    method: str,
    code: grpc.StatusCode,
    details: str,
    reason: str,
    kind: type[StoreError],
    said: str,
    hint: str,
) -> None:
    for each in (method, "BatchGetDocuments") if code is Code.NOT_FOUND else (method,):
        firestore_server.fault(each, times=FOREVER, before=code, details=details, reason=reason)
    ask = {
        "RunQuery": lambda: list(records.ids()),
        "BatchGetDocuments": lambda: list(records.read(["ai"])),
        "Commit": lambda: records.create("ai", {"a": 1}),
    }[method]
    with pytest.raises(kind) as caught:
        ask()
    assert said in caught.value.message
    assert details in caught.value.message
    assert hint in caught.value.hint


def test_a_write_that_another_writer_forestalled_is_still_told_so(
    records: FirestoreRecordStore, firestore_server: FirestoreServer
) -> None:
    records.create("ai", {"a": 1})
    with pytest.raises(PreconditionFailed, match="was written since"):
        records.update("ai", {"a": 2}, if_update_time="2020-01-01T00:00:00.000001Z")


def test_a_quota_that_is_used_up_is_told(firestore_server: FirestoreServer) -> None:
    firestore_server.fault("RunQuery", times=FOREVER, before=Code.RESOURCE_EXHAUSTED, details="Quota exceeded.")
    opened = FirestoreRecordStore.open(
        "p", "(default)", "characters", firestore_server.address, clock=SkippingClock(), deadline=2.0
    )
    with pytest.raises(StoreUnavailable, match="over its quota") as caught:
        list(opened.ids())
    opened.close()
    assert "free quota" in caught.value.hint
    assert "enable billing" in caught.value.hint
