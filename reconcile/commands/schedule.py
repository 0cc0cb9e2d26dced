"""Writes the nightly job as definitions for a scheduler, complete and ready to install.

The texts are templates in ``views/templates/schedule``: one for each file, and one for the commands that install them.
This module provides the values of the job and a filter for each kind of quoting.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable
from typing import Any
from xml.sax.saxutils import escape

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from reconcile.commands.jobenv import OF_THIS_MACHINE
from reconcile.commands.nightly import DUE, Nightly, check
from reconcile.core.errors import UsageError

FORMAT = "reconcile.schedule/1"
_FILES = {
    "cron": (("reconcile.cron", "your crontab", "utf-8"),),
    "systemd": (
        ("reconcile.service", "~/.config/systemd/user/reconcile.service", "utf-8"),
        ("reconcile.timer", "~/.config/systemd/user/reconcile.timer", "utf-8"),
    ),
    "windows": (("reconcile.xml", "Task Scheduler", "utf-16"),),
    "cloud-run": (
        ("reconcile-job.yaml", "Cloud Run", "utf-8"),
        ("Dockerfile", "the folder that the image is built in", "utf-8"),
    ),
    "cloud-run-shards": (
        ("reconcile-plan.yaml", "Cloud Run", "utf-8"),
        ("reconcile-apply.yaml", "Cloud Run", "utf-8"),
        ("reconcile-night.yaml", "Workflows", "utf-8"),
        ("Dockerfile", "the folder that the image is built in", "utf-8"),
    ),
}
"""The files of each scheduler: name, place, and encoding."""
_PLANS = re.compile(r"gs://[a-z0-9._-]+(/[A-Za-z0-9._-]+)+", re.ASCII)
_PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z0-9-]+", re.ASCII)


class File(msgspec.Struct, frozen=True):
    """One definition: its file name, the place where it belongs, its text, and the encoding."""

    name: str
    place: str
    text: str
    encoding: str = "utf-8"


class Schedule(msgspec.Struct, frozen=True):
    """The document of ``schedule --json``: the definitions, and the commands that install and check them."""

    format: str
    kind: str
    files: tuple[File, ...]
    install: tuple[str, ...]


def schedule(kind: str, job: Nightly) -> Schedule:
    """Returns the definitions for one scheduler: ``cron``, ``systemd``, ``windows`` or ``cloud-run``. Raises UsageError
    if they cannot hold a value of the job: a line break, for example, would begin another job."""
    check(job, of_windows=kind == "windows")
    if kind == "cloud-run" and _PROJECT.fullmatch(job.gcp_project) is None:
        raise UsageError(
            f"the project of the records, {job.gcp_project!r}, is not one that a Cloud Run job can be in",
            hint="set records.uri in the rules file",
        )
    if job.shards and _PLANS.fullmatch(job.plans) is None:
        raise UsageError(
            f"--plans {job.plans!r} is not gs://BUCKET/FOLDER", hint="use letters, digits, ., _ and - alone"
        )
    environment, values = _environment(), _values(job)
    arguments = f"{kind} --shards {job.shards}" if job.shards else kind
    kind = f"{kind}-shards" if job.shards else kind
    files = tuple(
        File(name, place, environment.get_template(f"{name}.j2").render(values), encoding)
        for name, place, encoding in _FILES[kind]
    )
    install = environment.get_template(f"{kind}.install.j2").render(values).splitlines()
    return Schedule(FORMAT, kind, files, (f"reconcile schedule {arguments} --out .", *install))


def _values(job: Nightly) -> dict[str, Any]:
    variables = sorted(job.environment.items())
    plan, share, merge = job.sharded()
    return {
        "job": job,
        "folder": str(job.project),
        "environment": variables,
        "secrets": job.said_of_secrets(),
        "due": DUE,
        "plan_command": plan,
        "apply_command": share,
        "merge_command": merge,
        "bucket": job.bucket.removeprefix("gs://").partition("/")[0],
        # An older project may have a domain before its name: example.com:studio.
        "image": f"{job.region}-docker.pkg.dev/{job.gcp_project.replace(':', '/')}/reconcile/reconcile:latest",
        "account": f"reconcile@{'.'.join(reversed(job.gcp_project.split(':')))}.iam.gserviceaccount.com",
        # A process that Task Scheduler starts gets only the variables of its user.
        "given": [word for name, value in variables for word in ("--env", f"{name}={value}")],
        # For a job that runs on another machine, with the folder mounted.
        "portable": [(name, value) for name, value in variables if name not in OF_THIS_MACHINE],
        "left_here": [name for name, _ in variables if name in OF_THIS_MACHINE],
        "mounted": job.arguments("/project", "--log-format", "json"),
    }


def _environment() -> Environment:
    # Nothing is escaped automatically: a file has several kinds of quoting, so templates name the one of each value.
    environment = Environment(
        loader=PackageLoader("reconcile", "views/templates/schedule"),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "shell": shlex.quote,
        "shell_words": shlex.join,
        "cron": lambda command: command.replace("%", r"\%"),  # which would end it there
        "cron_value": _cron_value,
        "unit": _unit,
        "unit_quoted": _unit_quoted,
        "unit_words": _unit_words,
        "windows_words": subprocess.list2cmdline,
        "xml": escape,
        "yaml": lambda text: msgspec.json.encode(text).decode(),  # every JSON string is one of YAML
    }
    return environment


# -- quoting --


def _cron_value(value: str) -> str:
    """Quotes the value of a variable for a crontab. There it is literal to the end of the line, except for blanks at
    its ends and one pair of quotes around it."""
    return f'"{value}"' if value != value.strip() or value[:1] in ("'", '"') else value


def _unit(text: str) -> str:
    """Quotes a value for a place in a unit file where only specifiers are replaced."""
    return text.replace("%", "%%")


def _unit_quoted(text: str) -> str:
    """Quotes a value for a unit file, so that no specifier in it is replaced."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_unit(escaped)}"'


def _unit_words(words: Iterable[str]) -> str:
    """Quotes a command line for a unit file, so that neither specifiers nor variables in it are replaced."""
    return " ".join(_unit_quoted(word.replace("$", "$$")) for word in words)
