"""The three pure stages: ``explode_stage`` → ``key_stage`` → ``document_stage``.

Each takes the rows that share one key and yields rows. Stages do no I/O, read no clock, keep no state and do not rely
on the order of rows; between them, an engine groups the rows by key.
"""

from reconcile.core.stages.document import by_document, document_stage
from reconcile.core.stages.explode import explode, explode_stage, explode_uris
from reconcile.core.stages.key import by_key, is_whole, key_rows, key_stage

__all__ = [
    "by_document",
    "by_key",
    "document_stage",
    "explode",
    "explode_stage",
    "explode_uris",
    "is_whole",
    "key_rows",
    "key_stage",
]
