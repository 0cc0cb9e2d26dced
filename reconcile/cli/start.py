"""The command init: where to begin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from reconcile.adapters.disk_names import as_text
from reconcile.adapters.files import SHARED, beside, move_to_free
from reconcile.cli.options import option
from reconcile.cli.session import Session
from reconcile.commands.beginning import guessed, with_roots, with_stores
from reconcile.config.environment import RULES
from reconcile.config.settings import template
from reconcile.core.errors import ExitCode, StoreError, UsageError
from reconcile.core.guess import Guess
from reconcile.views import json


def init(
    session: Session,
    bucket: Annotated[str | None, option(metavar="URI", help="Fill in bucket.uri: gs://BUCKET/PREFIX.")] = None,
    records: Annotated[
        str | None,
        option(
            metavar="URI",
            help="Fill in records.uri: firestore://PROJECT/DATABASE/COLLECTION; guesses previous_roots from there.",
        ),
    ] = None,
) -> ExitCode:
    path = session.common.rules or session.project_folder() / RULES
    text, guess = with_stores(template(), bucket, records), Guess({}, 0)
    if records is not None and not path.exists():
        try:
            guess = guessed(session.project_folder(), path, text, session.overrides())
            text = with_roots(text, guess)
        except StoreError as error:
            session.warn(f"previous_roots was not guessed: {error.sentence}", of="warning")
    try:
        _make_folder(path.parent)
        with beside(path, text.encode(), SHARED) as new:
            move_to_free(new, path)
    except FileExistsError as error:
        raise UsageError(
            f"there is a rules file already: {path}; it was left as it is",
            hint="edit it, or start another project with `reconcile init -C DIR`",
        ) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="name a folder with -C") from error
    shown = as_text(str(path))
    document = json.InitDocument(json.INIT_FORMAT, shown, guess.roots, guess.paths)
    session.result(document, lambda terminal: terminal.line(f"wrote {shown}"))
    for root, count in guess.roots.items():
        session.note(f"previous_roots: {root} explains {count:,} of {guess.paths:,} absolute paths in the records")
    if guess.explained < guess.paths:
        session.note(f"{guess.paths - guess.explained:,} absolute paths in the records are below none of them")
    session.note(
        "next: check that it names your bucket, your records and your output folder, then run `reconcile plan`"
    )
    return ExitCode.OK


def _make_folder(folder: Path) -> None:
    """Makes the folder. Raises UsageError if something else has its name."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError(f"{folder} is not a folder", hint="move it away, or name another project with -C") from error
