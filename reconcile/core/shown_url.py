"""Makes URLs of requests safe to show: a reader of a log must not be able to use anything in it."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlsplit

_SHOWN = frozenset(
    {
        *("alt", "endOffset", "generation", "ifGenerationMatch", "ifMetagenerationMatch", "ifSourceGenerationMatch"),
        *("maxBytesRewrittenPerCall", "maxResults", "prefix", "startOffset", "uploadType", "userProject"),
    }
)
"""Parameters that are shown. All others may be a signature, a token or the key of an upload session."""
_NAMED = frozenset({"pageToken", "rewriteToken", "upload_id"})
"""Parameters shown by name, without the value."""
_SAME = frozenset({"fields", "prettyPrint"})
"""Parameters about the format of the answer, the same in every request of a kind."""
_PATHS = (
    *("/storage/v1/", "/upload/storage/v1/", "/download/storage/v1/", "/v1/projects/", "/computeMetadata/"),
    "/token",
)
HIDDEN = "***"


def shown_url(url: str) -> str:
    """Returns a URL without login, signature, token or session. A text that is not a server's URL is returned
    unchanged."""
    if not url.startswith(("http://", "https://")):
        return url
    try:
        parts = urlsplit(url)
        host, query = parts.netloc.rpartition("@")[2], parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return HIDDEN
    # A server may put the key of an upload session into the path.
    path = parts.path if parts.path in ("", "/") or parts.path.startswith(_PATHS) else f"/{HIDDEN}"
    shown = "&".join(dict.fromkeys(_parameter(name, value) for name, value in query if name not in _SAME))
    return f"{parts.scheme}://{host}{path}{'?' if shown else ''}{shown}"


def _parameter(name: str, value: str) -> str:
    if name in _SHOWN:
        return f"{name}={quote(value)}"
    return f"{name}={HIDDEN}" if name in _NAMED else HIDDEN
