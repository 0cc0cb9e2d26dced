"""The environment of a run: its variables, the flags that override them, and the project folder."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from reconcile.adapters.disk_names import as_text, native
from reconcile.config.toml import Table
from reconcile.core.errors import ConfigError, ReconcileError, UsageError

RULES = Path("rules") / "asset_map.toml"
STORAGE_EMULATOR = "STORAGE_EMULATOR_HOST"
FIRESTORE_EMULATOR = "FIRESTORE_EMULATOR_HOST"


class Overrides(msgspec.Struct, frozen=True):
    """The command line's overrides of the rules file and the environment; None overrides nothing."""

    rules: Path | None = None
    bucket_uri: str | None = None
    bucket_endpoint: str | None = None
    records_uri: str | None = None
    records_endpoint: str | None = None
    local_root: str | None = None
    replace: str | None = None


def absolute(path: Path) -> Path:
    """Returns the absolute form of a path that may be relative or begin with ``~``.

    Raises UsageError if the current folder, or the home folder, cannot be determined.
    """
    try:
        path = path.expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"there is no home folder for {str(path)!r}", hint="name the folder by its whole path"
        ) from error
    if path.is_absolute():
        return path
    try:
        return Path.cwd() / path
    except OSError as error:
        raise UsageError(
            f"the current folder cannot be used: {error.strerror}",
            hint="go to one that is there, or name the project and other files by their whole paths, as with -C",
        ) from error


def find_project(start: Path | None = None, explicit: Path | None = None) -> Path:
    """Returns the project folder: ``explicit``, or the nearest with a rules file at or above ``start``, or ``start``.

    ``start`` defaults to the current folder. The path stays as given: a drive or a link on the way remains part of it.
    Raises UsageError if ``explicit`` is not a folder, or the current folder cannot be used.
    """
    try:
        if explicit is None:
            start = _without_steps_up(absolute(start or Path()))
            return next((folder for folder in (start, *start.parents) if (folder / RULES).is_file()), start)
        folder = absolute(explicit)
        if not folder.is_dir():
            raise UsageError(f"the project folder {str(explicit)!r} is not there", hint="check -C/--project")
        return _without_steps_up(folder)
    except OSError as error:
        named = explicit or start or Path()
        raise UsageError(
            f"the project cannot be looked for in {str(named)!r}: {error.strerror}", hint="name it with -C/--project"
        ) from error


def _without_steps_up(folder: Path) -> Path:
    """Returns the folder by a path without ``..``, which after a link leads elsewhere than its text says."""
    return folder.resolve() if ".." in folder.parts else folder


class SourcedValue(msgspec.Struct, frozen=True):
    """A value with its source, so that an error names the flag, the variable or the line."""

    text: str
    table: Table
    key: str
    flag: str = ""
    variable: str = ""

    @classmethod
    def of(cls, flags: Overrides, env: Mapping[str, str], table: Table, key: str, default: str = "") -> SourcedValue:
        """Returns the flag if given, else the variable, else the table's value."""
        name = f"{table.name}_{key}"
        variable = f"RECONCILE_{name.upper()}"
        written = table.text(key, default)
        flag: str | None = getattr(flags, name)
        if flag is not None:
            return cls(as_text(flag), table, key, flag=f"--{name.replace('_', '-')}")
        if env.get(variable):
            return cls(as_text(env[variable]), table, key, variable=variable)
        return cls(written, table, key)

    def error(self, what: str, right: str) -> ReconcileError:
        if self.flag:
            return UsageError(f"{self.flag}: {what}", hint=f"give {right}")
        if self.variable:
            return ConfigError(f"the environment's {self.variable}: {what}", hint=f"give it {right}, or unset it")
        return self.table.error(self.key, what, f"write {self.key} = {right}")


def disk_path(text: str, error: Callable[[str, str], ReconcileError]) -> Path:
    """Returns the path of a text, with the home folder for ``~``, and named on disk by the UTF-8 bytes of the text."""
    try:
        return Path(native(text)).expanduser()
    except RuntimeError as failure:
        raise error(f"there is no home folder for {text!r}", "the folder's whole path") from failure


def endpoint(project: Path, given: SourcedValue, *, http: bool) -> str:
    """Returns an endpoint for adapters: ``file:`` and an absolute folder, http(s) for GCS, host:port for Firestore."""
    text = given.text
    if text.startswith("file:"):
        folder = text.removeprefix("file:")
        if not folder:
            raise given.error("the endpoint 'file:' names no folder", '"file:store"')
        return f"file:{project / disk_path(folder, given.error)}"
    if text and not _is_server(text, http=http):
        right = '"http://127.0.0.1:4443"' if http else '"127.0.0.1:8080"'
        raise given.error(f"the endpoint {text!r} cannot be one", f'{right}, "file:DIR", or ""')
    return text


def _is_server(text: str, *, http: bool) -> bool:
    """Whether a text is an http(s) URL, or else a host with a port."""
    try:
        url = urllib.parse.urlsplit(text if http else f"//{text}")
        if http:
            return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        return url.netloc == text and "@" not in text and bool(url.hostname) and bool(url.port)
    except ValueError:
        return False


def emulators(env: Mapping[str, str], bucket_endpoint: str, records_endpoint: str) -> tuple[str, str]:
    """Returns the emulators of the bucket and of the records that Google's clients use if an endpoint is empty.

    Raises ConfigError for one emulator next to one real service: real records would name objects that only this machine
    has.
    """
    bucket = "" if bucket_endpoint else env.get(STORAGE_EMULATOR, "")
    records = "" if records_endpoint else env.get(FIRESTORE_EMULATOR, "")
    real_bucket = not (bucket_endpoint or bucket)
    real_records = not (records_endpoint or records)
    if (bucket and real_records) or (records and real_bucket):
        named, other = (STORAGE_EMULATOR, "records") if bucket else (FIRESTORE_EMULATOR, "bucket")
        raise ConfigError(
            f"the environment's {named} names an emulator, but the {other} would be the real one at Google",
            hint=f"unset {named}, or give the {other} an endpoint too",
        )
    return bucket, records
