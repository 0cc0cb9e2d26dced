"""How a connection of our own HTTP goes through a proxy, and what it shows to a server that asks who we are."""

from __future__ import annotations

import os
import select
import socket
import ssl
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from reconcile.adapters.network import Proxy

_SOCKS = {"socks4": (1, False), "socks4a": (1, True), "socks5": (2, False), "socks5h": (2, True)}
"""PySocks' number of the protocol, and whether the proxy looks up the names of hosts."""


def show(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Has a context show a certificate; the standard library reads it from files alone."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:  # which is its owner's alone
        for name, content in (("certificate", certificate), ("key", key)):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        context.load_cert_chain(os.path.join(folder, "certificate"), os.path.join(folder, "key"))


class Inner:
    """Stands for a context in a tunnel that is encrypted itself, which the standard library has no word for."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def wrap_socket(self, outer: ssl.SSLSocket, server_hostname: str) -> Any:
        from urllib3.util.ssltransport import SSLTransport

        return SSLTransport(outer, self._context, server_hostname)


def through_tls(context: ssl.SSLContext, host: str) -> Callable[..., socket.socket]:
    def dial(address: tuple[str, int], timeout: float, source: Any = None) -> socket.socket:
        return context.wrap_socket(socket.create_connection(address, timeout, source), server_hostname=host)

    return dial


def through_socks(url: str) -> Callable[..., socket.socket]:
    import socks  # type: ignore[import-not-found,import-untyped,unused-ignore]

    parts = urlsplit(url)
    kind, remote = _SOCKS[parts.scheme]

    def dial(address: tuple[str, int], timeout: float, source: Any = None) -> socket.socket:
        made: socket.socket = socks.create_connection(
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
        return made

    return dial


def is_socks(proxy: Proxy) -> bool:
    return proxy.url.lower().startswith("socks")


def login(proxy: Proxy) -> dict[str, str]:
    """The header with the login of a proxy's URL, if it has one."""
    from base64 import b64encode

    parts = urlsplit(proxy.url)
    if not parts.username:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode('latin-1', 'replace')).decode()}"}


def dropped(sock: socket.socket | None) -> bool:
    """Whether the server has closed a connection that was kept, or said something that nobody asked."""
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
