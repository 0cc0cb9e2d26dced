"""Who signs URLs, for each kind of credentials against a fake of its server."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.unit.test_signing import query, string_to_sign
from tests.unit.test_tokens import (
    ACCOUNT,
    World,
    certificate,  # noqa: F401 the fixtures of the fake
    external,
    impersonated,
    machine,
    service_account,
    user,
    world,  # noqa: F401
)

SIGN = """
from reconcile.adapters.gcs.signing import Signer
from reconcile.core.errors import ReconcileError
from reconcile.core.names import BucketRoot
signer = Signer(BucketRoot("b", "p"))
try:
    print(signer.sign("a b/[kpop]_\u00e9%20#?&=~+.mp4", expires=60))
    print(int(signer.holds_for))
except ReconcileError as error:
    print(type(error).__name__, error.message, error.hint)
"""


def impersonating(world: World) -> dict[str, Any]:  # noqa: F811
    """A login from elsewhere that acts for a service account."""
    where = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken"
    return {**external(world), "service_account_impersonation_url": where}


@pytest.mark.parametrize("kind", [impersonated, impersonating, machine], ids=lambda kind: kind.__name__)
def test_an_account_without_a_key_has_its_signing_service_sign(world: World, kind: Any) -> None:  # noqa: F811
    url, holds = world.run(kind(world), SIGN, API_ENDPOINT_OVERRIDE="")
    assert url.startswith("https://storage.googleapis.com/b/p/a%20b/%5Bkpop%5D_%C3%A9%2520%23%3F%26%3D~%2B.mp4?")
    assert query(url)["X-Goog-Credential"].startswith(f"{ACCOUNT}/")
    assert query(url)["X-Goog-Signature"] == hashlib.sha256(string_to_sign(url)).hexdigest()
    (asked,) = [each for each in world.handler.asked if each[0].endswith(":signBlob")]
    assert asked[0].endswith(f"/serviceAccounts/{ACCOUNT}:signBlob")
    assert asked[2] in {f"Bearer {token}" for token in world.handler.tokens}
    assert holds == str(12 * 3600)


def test_a_key_file_signs_without_any_request(world: World) -> None:  # noqa: F811
    url, holds = world.run(service_account(world), SIGN, API_ENDPOINT_OVERRIDE="")
    assert query(url)["X-Goog-Credential"].startswith(f"{ACCOUNT}/")
    assert (holds, world.handler.asked) == (str(7 * 86_400), [])


@pytest.mark.parametrize("kind", [user, external], ids=lambda kind: kind.__name__)
def test_credentials_of_no_service_account_say_how_to_become_one(world: World, kind: Any) -> None:  # noqa: F811
    (said,) = world.run(kind(world), SIGN, API_ENDPOINT_OVERRIDE="")
    assert said.startswith("AccessDenied URLs of gs://b/p cannot be signed")
    assert "--impersonate-service-account" in said
    assert not [each for each in world.handler.asked if each[0].endswith(":signBlob")]


def test_a_missing_permission_of_the_signing_service_says_which(world: World) -> None:  # noqa: F811
    world.handler.denies = True
    (said,) = world.run(machine(world), SIGN, API_ENDPOINT_OVERRIDE="")
    assert said.startswith("AccessDenied URLs of gs://b/p cannot be signed")
    assert "roles/iam.serviceAccountTokenCreator" in said
    assert not any(token in said for token in world.handler.tokens)
