"""The environment variables that a scheduled job needs to do what the command line would do now."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from reconcile.adapters.system import current
from reconcile.config.environment import FIRESTORE_EMULATOR, STORAGE_EMULATOR, absolute
from reconcile.core.errors import UsageError

_FILES = frozenset(
    {
        "CLOUDSDK_CONFIG",
        "CURL_CA_BUNDLE",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        "RECONCILE_RULES",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
    }
)
"""Files and folders of this machine."""
OF_THIS_MACHINE = _FILES | {STORAGE_EMULATOR, FIRESTORE_EMULATOR, "RECONCILE_LOCAL_ROOT"}
"""Variables that mean nothing, or something else, on another machine."""
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "no_proxy", "no_grpc_proxy")
_OTHERS = frozenset(
    {
        "CLOUDSDK_CORE_PROJECT",
        "GCE_METADATA_HOST",
        "GCE_METADATA_IP",
        "GCE_METADATA_ROOT",
        "GCE_METADATA_TIMEOUT",
        "GOOGLE_API_USE_CLIENT_CERTIFICATE",
        "GOOGLE_API_USE_MTLS_ENDPOINT",
        "GOOGLE_CLOUD_PROJECT",
        "GOOGLE_CLOUD_QUOTA_PROJECT",
        "GOOGLE_CLOUD_UNIVERSE_DOMAIN",
        "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES",
        "NO_GCE_CHECK",
    }
)
"""Variables that Google's clients, and their HTTP libraries, read."""
_TARGETS = frozenset({STORAGE_EMULATOR, FIRESTORE_EMULATOR, "RECONCILE_BUCKET_ENDPOINT", "RECONCILE_RECORDS_ENDPOINT"})
"""Variables that name servers. Without them a job would use those of Google."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LOGIN = re.compile(r"(//|^)[^/]*@")
_SECRET = ("PASSWORD", "SECRET", "TOKEN")


def carried(environ: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns the variables that go into the job, and the names of those that do not because they hold a secret: more
    people read a schedule than an environment. Paths are made absolute, because a scheduler starts the job in another
    folder. Raises UsageError for an endpoint with a login in it."""
    found = {name: value for name, value in environ.items() if _is_honoured(name)}
    for name in _TARGETS.intersection(found):
        if "//" in found[name] and _LOGIN.search(found[name]):
            raise UsageError(
                f"the environment's {name} has a login in it, and a schedule is read by more people",
                hint="set the endpoint in the rules file, without one",
            )
    secret = tuple(sorted(name for name, value in found.items() if _holds_secret(name, value)))
    return {name: _absolute(name, value) for name, value in found.items() if name not in secret}, secret


def _is_honoured(name: str) -> bool:
    if not _NAME.fullmatch(name):
        return False
    return name.startswith("RECONCILE_") or name in OF_THIS_MACHINE | _OTHERS or name.lower() in _PROXIES


def _holds_secret(name: str, value: str) -> bool:
    """Whether the value is an address with a login in it, or the name says that it is a secret."""
    if name.lower() in _PROXIES:
        return _LOGIN.search(value) is not None
    return name not in _FILES | _TARGETS and any(word in name.upper() for word in _SECRET)


def _absolute(name: str, value: str) -> str:
    # Another session may not have the drive letters of this one.
    place = current().beyond_drives
    if name not in _FILES:
        return place(value) if name == "RECONCILE_LOCAL_ROOT" else value
    # OpenSSL accepts several folders.
    parts = value.split(os.pathsep) if name == "SSL_CERT_DIR" else [value]
    return os.pathsep.join(place(str(absolute(Path(part)))) if part else part for part in parts)
