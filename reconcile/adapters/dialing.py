"""Connections for our own HTTP: through proxies, and with client certificates where servers request them."""

from __future__ import annotations

import http.client
import os
import select
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from reconcile.adapters.network import Proxy
from reconcile.adapters.pace import Response

_SOCKS = {"socks4": (1, False), "socks4a": (1, True), "socks5": (2, False), "socks5h": (2, True)}
"""PySocks' number of the protocol, and whether the proxy resolves host names."""


class Plain(http.client.HTTPConnection):
    response_class = Response
    idle_since: float | None = None


class Encrypted(http.client.HTTPSConnection):
    response_class = Response
    idle_since: float | None = None


Connection = Plain | Encrypted


class Route(NamedTuple):
    """The server that requests go to, and the proxy on the way."""

    scheme: str
    host: str
    port: int
    proxy: Proxy | None


def undialed(route: Route, limit: float, trust: Callable[[], ssl.SSLContext]) -> Connection:
    """Returns a connection that is not open yet; its ``connect`` goes through the route's proxy."""
    secret, proxy = route.scheme == "https", route.proxy
    at = urlsplit(proxy.url if "://" in proxy.url else f"http://{proxy.url}") if proxy is not None else None
    if proxy is None or at is None or is_socks(proxy):
        host, port = route.host, route.port
    else:
        host, port = at.hostname or "", at.port or (443 if at.scheme == "https" else 80)
    connection: Connection
    connection = Encrypted(host, port, timeout=limit, context=trust()) if secret else Plain(host, port, timeout=limit)
    if proxy is None or at is None:
        return connection
    if is_socks(proxy):
        connection._create_connection = _through_socks(proxy.url)  # type: ignore[union-attr]
        return connection
    if at.scheme == "https":
        connection._create_connection = _through_tls(trust(), host)  # type: ignore[union-attr]
        if secret:
            connection._context = _Inner(trust())  # type: ignore[union-attr]
    if secret:
        connection.set_tunnel(route.host, route.port, login(proxy))
    return connection


def show(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Makes a context present a client certificate, which the standard library reads only from files."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:  # readable only by its owner
        for name, content in (("certificate", certificate), ("key", key)):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        context.load_cert_chain(os.path.join(folder, "certificate"), os.path.join(folder, "key"))


class _Inner:
    """A context for TLS through a proxy that is itself reached over TLS, which the standard library cannot do."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def wrap_socket(self, outer: ssl.SSLSocket, server_hostname: str) -> Any:
        from urllib3.util.ssltransport import SSLTransport

        return SSLTransport(outer, self._context, server_hostname)


def _through_tls(context: ssl.SSLContext, host: str) -> Callable[..., socket.socket]:
    def dial(address: tuple[str, int], timeout: float, source: Any = None) -> socket.socket:
        return context.wrap_socket(socket.create_connection(address, timeout, source), server_hostname=host)

    return dial


def _through_socks(url: str) -> Callable[..., socket.socket]:
    import socks  # type: ignore[import-not-found,import-untyped,unused-ignore]

    parts = urlsplit(url)
    kind, remote = _SOCKS[parts.scheme]

    def dial(address: tuple[str, int], timeout: float, source: Any = None) -> socket.socket:
        dialed: socket.socket = socks.create_connection(
            address,
            timeout,
            source,
            proxy_type=kind,
            proxy_addr=parts.hostname,
            proxy_port=parts.port or 1080,
            proxy_rdns=remote,
            proxy_username=unquote(parts.username) if parts.username else None,
            proxy_password=unquote(parts.password) if parts.password else None,
        )
        return dialed

    return dial


def is_socks(proxy: Proxy) -> bool:
    return proxy.url.lower().startswith("socks")


def login(proxy: Proxy) -> dict[str, str]:
    """Returns the header with the login in a proxy's URL; empty if it has none."""
    from base64 import b64encode

    parts = urlsplit(proxy.url)
    if not parts.username:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode('latin-1', 'replace')).decode()}"}


def dropped(sock: socket.socket | None) -> bool:
    """Whether the server has closed a kept connection, or sent something unrequested."""
    if sock is None:
        return True
    try:
        if sys.platform != "win32" and hasattr(select, "poll"):
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            return bool(poll.poll(0))
        return bool(select.select([sock], [], [], 0)[0])
    except (OSError, ValueError):
        return True
