"""Settings: the checked rules file, with overrides by flags and variables."""

from __future__ import annotations

import datetime
import difflib
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from reconcile.adapters.disk_names import as_text
from reconcile.config.assets import read_asset_map, read_ignore
from reconcile.config.environment import RULES, Overrides, SourcedValue, absolute, disk_path, emulators, endpoint
from reconcile.config.toml import RulesFile, Table, Texts
from reconcile.core.changes import Code
from reconcile.core.context import Replacing, Typing
from reconcile.core.errors import ConfigError, UsageError
from reconcile.core.names import BucketRoot
from reconcile.core.paths import RootForms, root_forms
from reconcile.core.plan import ReplaceLimit
from reconcile.core.rules import AssetMap
from reconcile.core.waivers import Waiver
from reconcile.core.way import Entries


class RecordsUri(msgspec.Struct, frozen=True):
    """The address of the records: ``firestore://project/database/collection``."""

    project: str
    database: str
    collection: str

    @classmethod
    def parse(cls, uri: str) -> RecordsUri:
        """Parses a URI. Raises ValueError."""
        parts = uri.removeprefix("firestore://").split("/")
        # A store in a folder has folders with these names.
        odd = any(part in (".", "..") or "\\" in part for part in parts)
        if not uri.startswith("firestore://") or len(parts) < 3 or not all(parts) or len(parts) % 2 == 0 or odd:
            raise ValueError(f"{uri!r} is not firestore://PROJECT/DATABASE/COLLECTION")
        return cls(parts[0], parts[1], "/".join(parts[2:]))

    def __str__(self) -> str:
        return f"firestore://{self.project}/{self.database}/{self.collection}"


class LocalDbSettings(msgspec.Struct, frozen=True):
    """The pipeline's own JSON database; with ``rewrite``, gs:// URIs are also put into it."""

    path: Path
    rewrite: bool = False


class Incomplete(Enum):
    """What to do with media that is certainly incomplete."""

    HOLD = "hold"
    TAKE = "take"


class Policy(msgspec.Struct, frozen=True):
    """What a run may do on its own."""

    replace: Replacing = Replacing.SAFE
    max_replace: ReplaceLimit = ReplaceLimit(10, percent=True)
    create_records: bool = True
    content_types: Typing = Typing.FIX


class Settings(msgspec.Struct, frozen=True):
    """The checked rules of one project folder.

    Paths are absolute and without links, except ``root_given``: the local root below the project folder as that was
    given, perhaps by a mapped drive.
    """

    project: Path
    rules_path: Path
    rules_digest: str
    root: Path
    root_text: str
    root_given: str
    previous_roots: tuple[str, ...]
    ignore: tuple[str, ...]
    settle: float
    incomplete: Incomplete
    bucket: BucketRoot
    bucket_endpoint: str
    records: RecordsUri
    records_endpoint: str
    entries: Entries
    local_db: LocalDbSettings | None
    policy: Policy
    asset_map: AssetMap
    index: str = ""
    user_project: str = ""
    waivers: tuple[Waiver, ...] = ()
    bucket_emulator: str = ""
    records_emulator: str = ""

    @property
    def roots(self) -> tuple[RootForms, ...]:
        """Every root below which a record's path is a key: the present one, also by its own name, and the previous
        ones."""
        return tuple(self.named_roots.values())

    @property
    def named_roots(self) -> dict[str, RootForms]:
        """The same roots by their names."""
        own = (self.root_text, self.root_given, as_text(str(self.root)), as_text(str(self.root.resolve())))
        return {text: root_forms(text) for text in (*own, *self.previous_roots)}


def template() -> str:
    from importlib import resources  # only needed here

    return resources.files("reconcile").joinpath("asset_map.toml").read_text(encoding="utf-8")


def load(project: Path, overrides: Overrides | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Reads and checks the rules of a project folder.

    Raises ConfigError with file, line, what is wrong and what would be right.
    """
    given = overrides or Overrides()
    env = os.environ if environ is None else environ
    named = given.rules or env.get("RECONCILE_RULES")
    path = absolute(Path(named)) if named else project / RULES
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no rules file {path}",
            hint="write one with `reconcile init`, or name the project folder with -C or the file with --rules",
        ) from error
    except OSError as error:
        raise ConfigError(f"the rules file {path} cannot be read: {error.strerror}") from error
    return parse(project, path, data, given, env)


def parse(named: Path, path: Path, data: bytes, given: Overrides, env: Mapping[str, str] = os.environ) -> Settings:
    """Checks the rules in ``data``, which the file at ``path`` in the project folder ``named`` has or will have.

    Raises ConfigError as ``load``.
    """
    project = named.resolve()
    pick = partial(SourcedValue.of, given, env)
    top = RulesFile.parse(path, data, {"local", "bucket", "records", "local_db", "policy", "asset", "waiver"})
    local = top.table("local", {"root", "previous_roots", "ignore", "settle", "incomplete"})
    bucket = top.table("bucket", {"uri", "endpoint", "user_project"})
    records = top.table("records", {"uri", "endpoint", "entries", "entry_key", "index"})
    root = pick(local, "root", "output")
    ignore = read_ignore(local)
    entries = _entries(records)
    settle = local.value("settle", float, 2.0)
    if not 0 <= settle <= 86_400:
        raise local.error("settle", f"settle = {settle:g} is not a sensible wait", "give seconds from 0 to 86400")
    bucket_endpoint = endpoint(project, pick(bucket, "endpoint"), http=True)
    records_endpoint = endpoint(project, pick(records, "endpoint"), http=False)
    bucket_emulator, records_emulator = emulators(env, bucket_endpoint, records_endpoint)
    return Settings(
        project=project,
        rules_path=path,
        rules_digest=hashlib.sha256(data).hexdigest(),
        root=_absolute(project, root),
        root_text=root.text,
        root_given=as_text(str(_absolute(named, root))),
        previous_roots=_previous_roots(local),
        ignore=ignore,
        settle=settle,
        incomplete=local.value("incomplete", Incomplete, Incomplete.HOLD),
        bucket=_parsed(pick(bucket, "uri"), BucketRoot.parse, "gs://my-bucket/anime_dance"),
        bucket_endpoint=bucket_endpoint,
        records=_parsed(pick(records, "uri"), RecordsUri.parse, "firestore://my-project/(default)/characters"),
        records_endpoint=records_endpoint,
        entries=entries,
        local_db=_local_db(project, top),
        policy=_policy(top, given),
        asset_map=read_asset_map(top, local, ignore, root.text, entries.key),
        index=_index(records, entries),
        user_project=_user_project(bucket),
        waivers=tuple(map(_waiver, top.tables("waiver", {"code", "subject", "reason", "until"}))),
        bucket_emulator=bucket_emulator,
        records_emulator=records_emulator,
    )


def _entries(table: Table) -> Entries:
    """Returns the array at a literal name or at the end of several, and the key of its maps."""
    written: str | Texts = table.value("entries", str | Texts, "assets")
    path = (written,) if isinstance(written, str) else written
    if not path or not all(path):
        what = "entries is empty" if not any(path) else f"entries = {list(path)!r} holds an empty name"
        raise table.error("entries", what, 'write entries = "assets", or entries = ["media", "assets"]')
    key = table.text("entry_key", "title")
    if not key:
        raise table.error("entry_key", "entry_key is empty", 'write entry_key = "title"')
    return Entries(path, key)


def _index(table: Table, entries: Entries) -> str:
    """Returns the field of records that receives their asset types; empty for none."""
    name = table.text("index", "")
    if name == entries.top:
        raise table.error("index", f"index = {name!r} is where the entries are", 'write index = "asset_types"')
    if name.startswith("__"):
        what = f"index = {name!r} is a name that the database keeps for itself"
        raise table.error("index", what, 'write index = "asset_types"')
    return name


def _absolute(project: Path, root: SourcedValue) -> Path:
    if not root.text.strip():
        raise root.error("the local root is empty", '"output", or the folder that the workflows write')
    return project / disk_path(root.text, root.error)


def _previous_roots(local: Table) -> tuple[str, ...]:
    roots: Texts = local.value("previous_roots", Texts, ())
    for root in roots:
        if any(set(form.parts) <= {".."} for form in root_forms(root).readings):
            message = f"previous_roots holds {root!r}, below which anything would count as ours"
            raise local.error("previous_roots", message, r"name the old output folder, such as 'C:\oo\bar\output'")
    return roots


def _parsed(given: SourcedValue, parse: Callable[[str], Any], example: str) -> Any:
    try:
        return parse(given.text)
    except ValueError as error:
        what = str(error) if given.text else f"[{given.table.name}] has no {given.key}"
        raise given.error(what, f'"{example}"') from error


def _user_project(bucket: Table) -> str:
    """Returns the id or the number of the project that is billed; empty for the bucket's own."""
    text = bucket.text("user_project", "", numbers=True)
    if text and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.:-]*", text):
        raise bucket.error("user_project", f"user_project = {text!r} is not a project", 'write its id: "my-project"')
    return text


def _local_db(project: Path, top: Table) -> LocalDbSettings | None:
    if not top.has("local_db"):
        return None
    table = top.table("local_db", {"path", "rewrite"})
    path = table.text("path", "")
    if not path:
        raise table.error("path", "[local_db] has no path", 'write path = "data/characters.json", or leave it out')
    at = disk_path(path, lambda what, right: table.error("path", what, f"write {right}"))
    return LocalDbSettings(project / at, table.value("rewrite", bool, False))


def _policy(top: Table, given: Overrides) -> Policy:
    table = top.table("policy", {"replace", "max_replace", "create_records", "content_types"})
    replacing = table.value("replace", Replacing, Replacing.SAFE)
    if given.replace is not None:
        try:
            replacing = Replacing(given.replace)
        except ValueError as error:
            raise UsageError(f"--replace {given.replace!r} is not one of safe, local, never") from error
    limit = table.text("max_replace", "10%", numbers=True)
    try:
        max_replace = ReplaceLimit.parse(limit)
    except ValueError as error:
        raise table.error("max_replace", f"max_replace = {limit!r} is not a limit", 'write "10%" or "25"') from error
    return Policy(
        replacing,
        max_replace,
        create_records=table.value("create_records", bool, True),
        content_types=table.value("content_types", Typing, Typing.FIX),
    )


def _waiver(table: Table) -> Waiver:
    written = table.text("code")
    code = next((each for each in Code if each.value == written), None)
    if code is None:
        near = difflib.get_close_matches(written, [each.value for each in Code], 1)
        hint = f"did you mean {near[0]!r}?" if near else "docs/findings.md has every code"
        raise table.error("code", f"code = {written!r} is not the code of a finding", hint)
    if code is Code.WAIVER_EXPIRED:
        raise table.error("code", "a waiver that has run out cannot be waived", "give it another day, or remove it")
    texts = {key: table.text(key) for key in ("subject", "reason")}
    for key, text in texts.items():
        if not text.strip():
            right = 'the path, URI or document of the finding, or "*"' if key == "subject" else "why it is accepted"
            raise table.error(key, f"the {key} of a waiver is empty", f"write {right}")
    return Waiver(code, **texts, until=table.value("until", datetime.date, None))
