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
"""Parameters whose values are shown. All others may be a signature, a token or the key of an upload session."""
_PATHS = (
    *("/storage/v1/", "/upload/storage/v1/", "/download/storage/v1/", "/v1/projects/", "/computeMetadata/"),
    "/token",
)
HIDDEN = "***"


def shown_url(url: str) -> str:
    """A URL without a login, signature, token or session in it. What is no URL of a server is given as it is."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
        host, query = parts.netloc.rpartition("@")[2], parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return HIDDEN
    # A server may put the key of an upload session into the path.
    path = parts.path if parts.path in ("", "/") or parts.path.startswith(_PATHS) else f"/{HIDDEN}"
    told = "&".join(f"{quote(name)}={quote(value) if name in _SHOWN else HIDDEN}" for name, value in query)
    return f"{parts.scheme}://{host}{path}{'?' if told else ''}{told}"
