"""The network between this machine and a server: the environment's proxies and certificates, and their faults."""

from __future__ import annotations

import os
import re
import ssl
import sys
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from reconcile.adapters import descriptors
from reconcile.core.portable import chain

GOOGLE = "https://storage.googleapis.com"
AGAIN = "check the network and the endpoint, then run again"
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
GRPC_ROOTS = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"
_GRPC_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")

_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
_LOGIN = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)?([^:@/]*)(:.*)?@", re.DOTALL)
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")
_GRPC_PROXY_ANSWER = re.compile(r"HTTP proxy returned response code (\d{3})")
_ERRNO = re.compile(r"\[Errno -?\d+\] ([^\"')]+)")
_UNTRUSTED = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's codes for a certificate with an unknown signer."""
_UNTIMELY = frozenset({9, 10})
"""OpenSSL's codes for a certificate that is not valid yet, or no longer."""


class Fault(Enum):
    """The kinds of faults on the way to a server."""

    SETTING = "setting"
    """A variable is wrong, so nothing can get through."""
    REFUSED = "refused"
    """Something on the way refused the request."""
    LASTING = "lasting"
    """It stays until somebody fixes it."""
    PASSING = "passing"
    """It may pass, and nothing was sent."""


class WayFault(NamedTuple):
    """A fault on the way to a server, as a sentence without a full stop, and what to do."""

    kind: Fault
    message: str
    hint: str


class Proxy(NamedTuple):
    """A proxy with its login, and the environment variable that names it (empty: the system's settings do)."""

    url: str
    variable: str

    def __str__(self) -> str:
        return f"the proxy {masked(self.url)} of {self.variable or 'the system settings'}"

    @property
    def setting(self) -> str:
        """The setting to correct."""
        return self.variable or "the proxy in the system settings"

    def problem(self) -> WayFault | None:
        """Returns why the proxy can never be used, or None."""
        url = self.url if "://" in self.url else f"http://{self.url}"
        write = f"write {self.setting} as http://HOST:PORT, or unset it"
        try:
            parts = urlsplit(url)
            host, _port = parts.hostname, parts.port
        except ValueError:
            return WayFault(Fault.SETTING, f"{self} is not a URL", write)
        if "://" not in self.url and "@" in self.url:
            return WayFault(Fault.SETTING, f"{self} has no scheme", write)
        if parts.scheme not in _SCHEMES:
            return WayFault(Fault.SETTING, f"{self} has a scheme that is not known, {parts.scheme!r}", write)
        if not host:
            return WayFault(Fault.SETTING, f"{self} names no host", write)
        from importlib.util import find_spec

        if not parts.scheme.startswith("socks") or find_spec("socks") is not None:
            return None
        return WayFault(
            Fault.SETTING,
            f"{self} is a SOCKS proxy, for which the Python package PySocks is missing",
            f"install PySocks beside reconcile (pip install PySocks), or set {self.setting} to an HTTP proxy",
        )

    def fault(self, why: str, host: str) -> WayFault:
        """Returns the fault if nothing gets through to ``host``, for this reason."""
        without = f"name {_domain(host)} in no_proxy to go without it"
        if (answer := _TUNNEL.search(why) or _GRPC_PROXY_ANSWER.search(why)) is not None:
            return self.answered(int(answer[1]), host)
        correct = f"start it, correct {self.setting}, or {without}"
        return WayFault(Fault.PASSING, f"{self} cannot be reached: {self.scrubbed(why)}", correct)

    def answered(self, status: int, host: str) -> WayFault:
        """Returns the fault if the proxy itself answered with this status and let nothing through to ``host``."""
        without = f"name {_domain(host)} in no_proxy to go without it"
        if status == 407:
            hint = f"put the login into {self.setting}, as http://USER:PASSWORD@HOST:PORT, or {without}"
            return WayFault(Fault.REFUSED, f"{self} asks for a login (407)", hint)
        kind = Fault.PASSING if status >= 500 or status in (408, 429) else Fault.REFUSED
        hint = f"have the proxy let {host} through, correct {self.setting}, or {without}"
        return WayFault(kind, f"{self} does not let {host} through ({status})", hint)

    def scrubbed(self, text: str) -> str:
        """Returns a library's text without the login."""
        password = re.match(r"^[^/]*//[^:]*:(.*)@", self.url)
        text = text.replace(self.url, masked(self.url))
        return text.replace(password[1], "***") if password and password[1] else text


def is_this_machine(host: str) -> bool:
    """Whether a host name or address is this machine's own, so that nobody can read in transit what is sent there."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def masked(url: str) -> str:
    """Returns a proxy's URL without its password. However odd it is, only the user name is left before the last
    ``@``."""
    return _LOGIN.sub(lambda found: f"{found[1] or ''}{found[2] + ':' if found[3] else ''}***@", url)


def proxy_for(url: str) -> Proxy | None:
    """Returns the proxy for requests to this URL, by the rules of the package requests, or None."""
    has_settings = sys.platform in ("win32", "darwin")  # of the system's own, which may name a proxy too
    if not has_settings and not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies

    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not host or _goes_past(host, parts.port):
            return None
    except ValueError:  # not a URL
        return None
    proxies = getproxies()
    names = (f"{parts.scheme}://{host}", parts.scheme, f"all://{host}", "all")
    found = next((proxies[name] for name in names if name in proxies), "")
    if not found:
        return None
    spelled = [each for name in (f"{parts.scheme}_proxy", "all_proxy") for each in (name, name.upper())]
    return Proxy(found, next((each for each in spelled if os.environ.get(each) == found), ""))


def _goes_past(host: str, port: int | None) -> bool:
    """Whether no_proxy or the system's settings exempt this host from proxies."""
    from urllib.request import proxy_bypass

    named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    entries = [entry for entry in named.replace(" ", "").split(",") if entry]
    try:
        address = IPv4Address(host)
    except ValueError:
        hosts = {host, f"{host}:{port}" if port else host}
        bare = [entry.lstrip(".") for entry in entries]
        past = any(each == entry or each.endswith(f".{entry}") for entry in bare for each in hosts)
    else:
        past = any(_holds(entry, address) for entry in entries)
    return past or bool(proxy_bypass(host))


def _holds(entry: str, address: IPv4Address) -> bool:
    """Whether an entry of no_proxy, an address or a network, includes this address."""
    try:
        return address in IPv4Network(entry, strict=False)
    except ValueError:
        return False


def fault_here(error: BaseException) -> WayFault | None:
    """Returns the fault of this machine, of the server's certificate, or of the file with trusted certificates, that a
    connection error shows; else None."""
    if descriptors.is_shortage(error):
        return WayFault(Fault.PASSING, descriptors.shortage(error), descriptors.HINT)
    variable = next((name for name in CA_VARIABLES if os.environ.get(name)), "")
    now = f"{variable} (it is {os.environ[variable]!r} now)" if variable else ""
    either = now or "REQUESTS_CA_BUNDLE, or SSL_CERT_FILE,"
    causes = list(chain(error))
    for each in causes:
        text = str(each)
        if isinstance(each, ssl.SSLCertVerificationError):
            return _distrust(each, either)
        if "TLS CA certificate bundle" in text or (isinstance(each, ssl.SSLError) and "CERTIFICATE_OR_CRL" in text):
            message = f"the CA certificates cannot be read: {text.partition(', invalid path')[0].rstrip('.')}"
            return WayFault(Fault.SETTING, message, f"correct {now or 'REQUESTS_CA_BUNDLE'}, or unset it")
    said = next((each for each in causes if "certificate verify failed" in str(each).lower()), None)
    return None if said is None else _unknown_ca(f"its certificate is not trusted: {said_by(said)}", either)


def fault_of_proxy(proxy: Proxy, error: BaseException, host: str) -> WayFault:
    """Returns the fault for an error of a connection to a proxy, or through it to ``host``."""
    causes = list(chain(error))
    tunnel = next((str(each) for each in causes if _TUNNEL.search(str(each))), "")
    innermost = next((each for each in reversed(causes) if isinstance(each, OSError) and each.strerror), causes[-1])
    return proxy.fault(tunnel or said_by(innermost), host)


def grpc_fault_of(details: str, host: str) -> WayFault | None:
    """Returns the fault in the details of a gRPC error if the call never reached ``host`` or got no token; else
    None."""
    if "Too many open files" in details:
        return WayFault(Fault.PASSING, descriptors.shortage(OSError()), descriptors.HINT)
    fetching = "Getting metadata from plugin failed" in details
    if "CERTIFICATE_VERIFY_FAILED" in details or "certificate verify failed" in details:
        variable = "REQUESTS_CA_BUNDLE" if fetching else GRPC_ROOTS
        return _unknown_ca(
            "the certificate is not trusted",
            f"{variable} (it is {os.environ[variable]!r} now)" if os.environ.get(variable) else variable,
        )
    if fetching:
        proxy = proxy_for(GOOGLE)
        if proxy is None or not ("Proxy" in details or "SOCKS" in details or "Tunnel" in details):
            return None
        number = _ERRNO.search(details)
        return proxy.problem() or proxy.fault(number[1] if number else _tail(details), "oauth2.googleapis.com")
    proxy = next((Proxy(url, name) for name in _GRPC_PROXIES if (url := os.environ.get(name))), None)
    if proxy is None or _goes_without(host) or urlsplit(proxy.url).scheme not in ("http", ""):
        return None
    return proxy.fault(_tail(details), host)


def grpc_advice(host: str) -> str:
    """Returns a hint for when HTTP reaches a host but gRPC, which has its own rules for proxies, does not."""
    proxy = proxy_for(f"https://{host}")
    if proxy is None or any(map(os.environ.get, _GRPC_PROXIES)):
        return (
            "writes go by gRPC: if there is a proxy or a firewall on the way, set https_proxy (in small letters) to the"
            f" proxy, and {GRPC_ROOTS} to a PEM file that has the certificate of its CA as well"
        )
    if proxy.url.lower().startswith("socks"):
        return f"writes go by gRPC, which does not use {proxy}: set https_proxy (in small letters) to an HTTP proxy"
    return f"writes go by gRPC, which does not heed {proxy}: set https_proxy (in small letters) to it as well"


def _goes_without(host: str) -> bool:
    """Whether gRPC, by its own rules, uses no proxy for the host."""
    listed = next(filter(None, map(os.environ.get, ("no_grpc_proxy", "no_proxy"))), "")
    return any(entry and host.lower().endswith(entry) for entry in map(str.strip, listed.lower().split(",")))


def _distrust(error: ssl.SSLCertVerificationError, variable: str) -> WayFault:
    code, why = getattr(error, "verify_code", 0), getattr(error, "verify_message", "") or said_by(error)
    if code in _UNTRUSTED:
        return _unknown_ca(f"the CA of its certificate is not known here: {why}", variable)
    hint = "check the name in the endpoint, and that no proxy answers in its place"
    if code in _UNTIMELY:
        hint = "check this machine's clock; if it is right, the server must renew its certificate"
    return WayFault(Fault.LASTING, f"its certificate does not hold: {why}", hint)


def _unknown_ca(why: str, variable: str) -> WayFault:
    hint = (
        f"set {variable} to a PEM file that has the certificate of the CA as well: that of your company's proxy, if one"
        " looks into TLS"
    )
    return WayFault(Fault.LASTING, why, hint)


def said_by(error: BaseException) -> str:
    """Returns the first line of an error's message, without a final full stop."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(said).split("\n", 1)[0].rstrip(".")


def _tail(details: str) -> str:
    return details.rpartition("last error: ")[2].split("\n", 1)[0][:200].rstrip(".")


def _domain(host: str) -> str:
    return "googleapis.com" if host.endswith(".googleapis.com") else host
