"""URLs of requests as they may be shown: whoever reads a log must not be able to do anything with what it says."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlsplit

_SHOWN = frozenset(
    {
        *("alt", "delimiter", "endOffset", "fields", "generation", "ifGenerationMatch", "ifMetagenerationMatch"),
        *("ifSourceGenerationMatch", "maxBytesRewrittenPerCall", "maxResults", "prefix", "prettyPrint", "startOffset"),
        *("uploadType", "userProject"),
    }
)
"""Parameters that are shown. All others may be a signature, a token or the key of an upload session."""
_NAMED = frozenset({"pageToken", "rewriteToken", "upload_id"})
"""Those of which the name is shown, but not the value."""
_PATHS = (
    *("/storage/v1/", "/upload/storage/v1/", "/download/storage/v1/", "/v1/projects/", "/computeMetadata/"),
    "/token",
)
HIDDEN = "***"


def shown_url(url: str) -> str:
    """A URL without a login, signature, token or session in it. What is no URL of a server is given as it is."""
    if not url.startswith(("http://", "https://")):
        return url
    try:
        parts = urlsplit(url)
        host, query = parts.netloc.rpartition("@")[2], parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return HIDDEN
    # A server may put the key of an upload session into the path.
    path = parts.path if parts.path in ("", "/") or parts.path.startswith(_PATHS) else f"/{HIDDEN}"
    told = "&".join(dict.fromkeys(_parameter(name, value) for name, value in query))
    return f"{parts.scheme}://{host}{path}{'?' if told else ''}{told}"


def _parameter(name: str, value: str) -> str:
    if name in _SHOWN:
        return f"{name}={quote(value)}"
    return f"{name}={HIDDEN}" if name in _NAMED else HIDDEN
