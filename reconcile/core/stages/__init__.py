"""The three pure stages: ``explode`` → ``by_key`` → ``by_document``.

Each takes the rows that share one group key and yields rows, changes and findings. They do no I/O, read no clock, keep
no state and do not rely on the order of rows; an engine groups rows by key between them.
"""

from reconcile.core.stages.document import by_document
from reconcile.core.stages.explode import explode
from reconcile.core.stages.key import by_key

__all__ = ["by_document", "by_key", "explode"]
