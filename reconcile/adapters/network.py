"""The way to the network in words: the proxies and the certificate authorities that the environment names."""

from __future__ import annotations

import errno
import os
from urllib.parse import urlsplit

AGAIN = "Check the network and the endpoint, then run again."
PROXY_LOGIN = "Write it into the variable of the proxy: http://USER:PASSWORD@HOST:PORT."
DESCRIPTORS = "Raise the limit (ulimit -n), or use a lower --concurrency."
_AUTHORITY = (
    "If a proxy or gateway of yours reads TLS, name the file that holds its authority in REQUESTS_CA_BUNDLE or"
    " SSL_CERT_FILE (for the bucket), and in GRPC_DEFAULT_SSL_ROOTS_FILE_PATH (for the records)."
)
_FILES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_GRPC = ("grpc_proxy", "https_proxy", "http_proxy")


def certificates(verify: bool | str | None) -> bool | str:
    """What a session trusts: what requests found in the environment, else the file of SSL_CERT_FILE, as OpenSSL's own
    users do."""
    return (os.environ.get("SSL_CERT_FILE") or True) if verify in (True, None) else verify


def proxy_of(url: str) -> str:
    """The proxy that leads to a URL, with the variable that names it, in words; empty where there is none."""
    found = proxy_url(url)
    if not found:
        return ""
    scheme = urlsplit(url).scheme or "https"
    names = [name for each in (scheme, "all") for name in (f"{each}_proxy", f"{each}_PROXY".upper())]
    named = next((name for name in names if os.environ.get(name) == found), None)
    return f"the proxy {masked(found)} ({named or 'from the settings of this system'})"


def proxy_url(url: str) -> str:
    """The same as it is written in the environment, which may hold a password."""
    from requests.utils import get_environ_proxies, select_proxy

    return select_proxy(url, get_environ_proxies(url)) or ""


def grpc_proxy() -> str:
    """The proxy that gRPC goes by, in words; empty where there is none. It reads the lower-case variables alone."""
    named = next((name for name in _GRPC if os.environ.get(name)), None)
    return f"the proxy {masked(os.environ[named])} ({named})" if named else ""


def masked(url: str) -> str:
    """A URL without its password."""
    scheme, mark, rest = url.rpartition("://")
    secret, at, place = rest.rpartition("@")
    user, colon, _ = secret.partition(":")
    return f"{scheme}{mark}{user}{':***' if colon else ''}{at}{place}"


def untrusted(why: str) -> tuple[str, str] | None:
    """What is wrong with a certificate, after "its certificate", and a hint; None where it is something else."""
    said = why.lower().replace("_", " ")
    if "certificate verify failed" not in said and "certificate has expired" not in said and "mismatch" not in said:
        return None
    if "expired" in said or "not yet valid" in said:
        return (
            f"is not valid now ({why})",
            "Check this machine's clock; if it is right, the server's owner must renew it.",
        )
    if "mismatch" in said or "doesn't match" in said:
        return f"is for another name ({why})", "Check the endpoint, and that no proxy answers in its place."
    held = next((f"{name}={os.environ[name]}" for name in _FILES if os.environ.get(name)), None)
    where = f" {held} is used now, and does not hold it." if held else ""
    return f"is signed by an authority that is not known here ({why})", _AUTHORITY + where


def bad_bundle(why: str) -> str | None:
    """A hint where the file with the authorities cannot be read; None where it is something else."""
    said = why.lower()
    if not any(word in said for word in ("tls ca certificate bundle", "no certificate or crl found", "ca cert file")):
        return None
    named = [f"{name}={os.environ[name]}" for name in _FILES if os.environ.get(name)]
    return (
        f"Correct {', '.join(named)}: a file of certificates (PEM)." if named else "Install the package certifi again."
    )


def is_shortage(error: BaseException) -> bool:
    """Whether the system had no descriptor left, for the process or for all."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        if isinstance(each, OSError) and each.errno in (errno.EMFILE, errno.ENFILE):
            return True
        inner = each.args[0] if each.args and isinstance(each.args[0], BaseException) else None
        each = (
            getattr(each, "reason", None)
            if isinstance(getattr(each, "reason", None), BaseException)
            else inner or (each.__cause__ or each.__context__)
        )
    return False
