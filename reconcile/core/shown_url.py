"""URLs of requests as they may be shown: whoever reads a log must not be able to do anything with what it says."""

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
"""Those of which the name is shown, but not the value."""
_SAME = frozenset({"fields", "prettyPrint"})
"""Those that say how the answer is to be written, the same in every request of a kind."""
_PATHS = (
    *("/storage/v1/", "/upload/storage/v1/", "/download/storage/v1/", "/v1/projects/", "/computeMetadata/"),
    "/token",
)
HIDDEN = "***"


def shown_url(url: str) -> str:
    """A URL without a login, signature, token or session in it. A text that is not a URL of a server is returned as
    it is."""
    if not url.startswith(("http://", "https://")):
        return url
    try:
        parts = urlsplit(url)
        host, query = parts.netloc.rpartition("@")[2], parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return HIDDEN
    # A server may put the key of an upload session into the path.
    path = parts.path if parts.path in ("", "/") or parts.path.startswith(_PATHS) else f"/{HIDDEN}"
    told = "&".join(dict.fromkeys(_parameter(name, value) for name, value in query if name not in _SAME))
    return f"{parts.scheme}://{host}{path}{'?' if told else ''}{told}"


def _parameter(name: str, value: str) -> str:
    if name in _SHOWN:
        return f"{name}={quote(value)}"
    return f"{name}={HIDDEN}" if name in _NAMED else HIDDEN
