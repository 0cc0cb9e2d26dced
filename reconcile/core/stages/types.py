"""The content type of one object, held against its name."""

from __future__ import annotations

from reconcile.core.changes import Finding, Reason, SetMetadata, change_id
from reconcile.core.context import Context, Typing
from reconcile.core.findings import WRONG_TYPE, make
from reconcile.core.media import is_generic, wrong_type
from reconcile.core.rows import RemoteObject


def typed(
    found: RemoteObject, owner: str | None, asset_type: str | None, context: Context
) -> SetMetadata | Finding | None:
    """What is to be done about the content type of an object whose content is right: a generic one is put right, if
    the rules say so and the preconditions are known; any other wrong one is told."""
    right = wrong_type(found.key, found.content_type)
    if right is None:
        return None
    uri, old = context.bucket.uri(found.key), found.content_type or None
    is_to_fix = context.content_types is Typing.FIX and is_generic(old) and found.metageneration > 0
    if not is_to_fix or found.crc32c is None:
        return make(WRONG_TYPE, uri, owner, found=old or "(nothing)", right=right)
    return SetMetadata(
        id=change_id("set_metadata", uri, found.crc32c, found.size, right),
        key=found.key,
        char_id=owner,
        asset_type=asset_type,
        reason=Reason.GENERIC_TYPE,
        uri=uri,
        size=found.size,
        crc32c=found.crc32c,
        content_type=right,
        old=old,
        if_generation_match=found.generation,
        if_metageneration_match=found.metageneration,
    )
