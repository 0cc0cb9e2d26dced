"""What a project, open or not, answers in one call. The work is done above it, and imported when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reconcile.core.events import Listener, silent

if TYPE_CHECKING:
    from datetime import timedelta

    from reconcile.core.catalogue import Asset
    from reconcile.project import OpenProject, Project

_LIFETIME = "15m"


class Shortcuts:
    """The calls. On a ``Project`` each opens the stores for itself; ``project.opened()`` keeps them, and the
    credentials, for the next one."""

    __slots__ = ()

    def __repr__(self: Project | OpenProject) -> str:  # type: ignore[misc]
        settings = self.settings
        return f"<{type(self).__name__} {settings.project}: {settings.bucket}, {settings.records}>"

    def signed_url(self: Project | OpenProject, uri: str, *, expires: str | float | timedelta = _LIFETIME) -> str:  # type: ignore[misc]
        """A URL by which anybody may read the object of a gs:// URI, a key or a path until it expires: a text such as
        ``"15m"``, seconds, or a timedelta, of 7 days at the most.

        Raises NotThere if the object is not in the bucket, UsageError if the subject is no asset of the project or the
        time cannot be, AccessDenied if the credentials cannot sign, and StoreError and SourceError.
        """
        from reconcile.api import signed_url

        return signed_url(self, uri, expires=expires)

    def signed_urls(  # type: ignore[misc]
        self: Project | OpenProject,
        char_id: str,
        *,
        asset_types: Sequence[str] = (),
        expires: str | float | timedelta = _LIFETIME,
    ) -> dict[str, str]:
        """URLs of everything that a character has in the bucket, or of its assets of these types, by their gs:// URIs.
        An empty dict if there is nothing. Raises as ``signed_url``, and UsageError for an unknown character."""
        from reconcile.api import signed_urls

        return signed_urls(self, char_id, asset_types=asset_types, expires=expires)

    def assets(  # type: ignore[misc]
        self: Project | OpenProject,
        *,
        char_ids: Sequence[str] = (),
        asset_types: Sequence[str] = (),
        paths: Sequence[str] = (),
        listener: Listener = silent,
    ) -> Iterator[Asset]:
        """Every asset, or those of these characters, types or paths, one by one as they are found: the rows of
        `reconcile list`. Changes nothing; the stores are open while the rows are iterated. Raises UsageError, and
        ReconcileError if a store cannot be read; the ``listener`` is told of single folders that cannot."""
        from reconcile.api import assets

        return assets(self, char_ids=char_ids, asset_types=asset_types, paths=paths, listener=listener)
