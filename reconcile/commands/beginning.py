"""The first rules file: the template, with the stores that were named and the former roots found in the records."""

from __future__ import annotations

import json
import re
from pathlib import Path

from reconcile.config.environment import Overrides
from reconcile.config.settings import RecordsUri, parse
from reconcile.core.errors import UsageError
from reconcile.core.guess import Guess, guess_roots
from reconcile.core.names import BucketRoot
from reconcile.project import ClosedProject
from reconcile.run_options import RunOptions

_BUCKET = re.compile(r'(?m)^uri = "gs://[^"]*"')
_RECORDS = re.compile(r'(?m)^uri = "firestore://[^"]*"')
_ROOTS = re.compile(r"(?m)^previous_roots = .*$")
_COMMENT = "# folders that old records name as the root (Windows, UNC or POSIX)"


def with_stores(text: str, bucket: str | None, records: str | None) -> str:
    """Puts these URIs into the rules. Raises UsageError for one that is not valid."""
    for option, uri, read, place in (
        ("--bucket", bucket, BucketRoot.parse, _BUCKET),
        ("--records", records, RecordsUri.parse, _RECORDS),
    ):
        if uri is not None:
            try:
                read(uri)
            except ValueError as error:
                raise UsageError(f"{option}: {error}", hint="see docs/rules.md") from error
            line = f"uri = {_quoted(uri)}"
            text = place.sub(lambda _, line=line: line, text)  # type: ignore[misc]
    return text


def guessed(folder: Path, path: Path, text: str, given: Overrides) -> Guess:
    """Returns the former roots that explain the paths in the records. The rules need not be on disk yet. Raises
    StoreError if the records cannot be read."""
    settings = parse(folder, path, text.encode(), given)
    with ClosedProject(settings).opened(RunOptions(makes_root=True)) as project:
        return guess_roots((document.fields for document in project.records.read()), settings.asset_map)


def with_roots(text: str, guess: Guess) -> str:
    """Puts these former roots into the rules, each with the number of paths that it explains."""
    lines = [
        f"    {_quoted(root)},  # explains {count:,} of {guess.paths:,} paths" for root, count in guess.roots.items()
    ]
    body = "\n".join([f"previous_roots = [  {_COMMENT}", *lines, "]"]) if lines else f"previous_roots = []  {_COMMENT}"
    return _ROOTS.sub(lambda _: body, text, count=1)


def _quoted(text: str) -> str:
    """Returns a TOML string: a literal one if the text has backslashes that this keeps as they are."""
    return json.dumps(text, ensure_ascii=False) if "'" in text or "\\" not in text else f"'{text}'"
