"""What is said of an object, changed without its bytes, and only if nobody has changed either."""

from __future__ import annotations

import msgspec

from reconcile.adapters.gcs.answers import OBJECT_FIELDS, Resource, decode_resource
from reconcile.adapters.gcs.failures import Doubt, Transient
from reconcile.adapters.gcs.http import Door
from reconcile.core.errors import NotThere, StoreUnavailable, Uncertain


def set_type(door: Door, name: str, content_type: str, seen: tuple[int, int]) -> Resource:
    """Sets the content type, if generation and metageneration are still those that were ``seen``. Raises as
    ObjectStore.set_type does; a repetition whose first answer was lost is refused by its own precondition."""
    query: dict[str, str | int] = {
        "ifGenerationMatch": seen[0],
        "ifMetagenerationMatch": seen[1],
        "fields": OBJECT_FIELDS,
    }
    headers = {"Content-Type": "application/json; charset=UTF-8"}
    data = msgspec.json.encode({"contentType": content_type})
    doubt = Doubt.NONE

    def attempt() -> Resource:
        nonlocal doubt
        try:
            with door.writing(name):
                answer = door.once(
                    "PATCH", door.object(name), query, headers=headers, data=data, missing=NotThere, about=name
                )
        except Transient as failure:
            doubt = max(doubt, failure.doubt)
            raise
        try:
            return decode_resource(answer.content, door.where, name)
        except StoreUnavailable as error:  # an answer that cannot be read is a lost one
            doubt = Doubt.LOST
            raise Transient(error.message, hint=error.hint, doubt=Doubt.LOST) from error

    try:
        return door.retrying(attempt)
    except Transient as failure:
        if doubt is Doubt.NONE:
            raise
        message = f"{door.where} may or may not have set the content type of {name!r}: the answer was lost"
        raise Uncertain(message, hint="run again: the next plan reads what is there") from failure
