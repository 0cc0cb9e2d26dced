"""The JSON database as a store that is written one document at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconcile.adapters.jsondb.store import JsonDatabase
from reconcile.core.errors import StoreError


class JsonRecords(JsonDatabase):
    """The documents of a JSON file, as a ``RecordStore`` that makes none."""

    def update(self, document: str, fields: Mapping[str, Any], *, if_update_time: str) -> str:
        """Writes one document; raises what kept it from being written."""
        outcome = self.update_many({document: (fields, if_update_time)})[document]
        if isinstance(outcome, StoreError):
            raise outcome
        return outcome

    def create(self, document: str, fields: Mapping[str, Any]) -> str:
        """Nothing makes a document in the workflow's own database."""
        raise AssertionError(document, fields)
