"""The nightly job: what runs every night, and whether a schedule can hold it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import PurePath

import msgspec

from reconcile.core.errors import UsageError
from reconcile.core.names import is_unicode

WAIT = "2h"
"""How long the job waits for another run to end before it gives up with 75."""
FAILS = ("--fail-on", "error")
"""A night that leaves an error for a person to look at counts as failed."""
DUE = "26h"
"""A last good run older than this is a missed night."""


class Nightly(msgspec.Struct, frozen=True):
    """The job that runs every night. All paths are absolute."""

    python: str
    project: PurePath
    options: tuple[str, ...]
    """Options of every command, such as another rules file."""
    hour: int
    minute: int
    log: PurePath
    environment: Mapping[str, str]
    left_out: tuple[str, ...]
    """Variables of the environment that the job does not get, because they hold a secret."""
    of_apply: tuple[str, ...]
    """Options of ``apply`` that were given for the job, each with its value."""
    bucket: str
    region: str
    gcp_project: str
    """The project of the records, in which a job in the cloud also runs."""
    shards: int = 0
    """The number of machines that apply the plan of a night together; 0 for a job of one machine."""
    plans: str = ""
    """The gs:// folder of their plans."""
    root: str = ""
    """The local root, relative to the project folder."""

    def command(self, *more: str) -> list[str]:
        """Returns the command line of the job."""
        # -X utf8: texts are UTF-8 whatever the code page of the system. -P: a file of the project that is named like a
        # module must not be imported in its place.
        return [self.python, "-X", "utf8", "-P", "-m", "reconcile", *self.arguments(str(self.project)), *more]

    def logged(self, *more: str) -> list[str]:
        """Returns the command line for a scheduler that keeps no log: the job writes one of its own, which is
        rotated."""
        return self.command(*more, "--log-file", str(self.log))

    def arguments(self, project: str, *more: str) -> list[str]:
        """Returns the command line of the job without the program, for the project in this folder."""
        return ["apply", "-C", project, *self.options, "--yes", *FAILS, "--wait-lock", WAIT, *more, *self.of_apply]

    def sharded(self) -> tuple[str, str, str]:
        """Returns three shell commands: for the plan, for the share of one machine, and for the report of all. PLAN,
        PHASE and the number of the task are variables in them."""
        mine, task = "/project/.reconcile/shards/$CLOUD_RUN_TASK_INDEX", "$CLOUD_RUN_TASK_INDEX/$CLOUD_RUN_TASK_COUNT"
        run, options = "python -P -m reconcile", shlex.join(self.options)
        plan = f'{run} plan -C /project {options} --out "$PLAN" --shards {self.shards} --quiet --log-format json'
        share = f'{run} apply "$PLAN" -C {mine} --rules /project/rules/asset_map.toml {options} --local-root'
        share = f"{share} {shlex.quote(f'/project/{self.root}')} --shard {task} --phase $PHASE --yes"
        share = f"mkdir -p {mine} && exec {share} {shlex.join(self.of_apply)} --log-format json"
        merge = f'{run} apply "$PLAN" -C /project {options} --merge-reports {shlex.join(FAILS)} --log-format json'
        return " ".join(plan.split()), " ".join(share.split()), " ".join(merge.split())

    @property
    def at(self) -> str:
        """The time of day, ``03:00``."""
        return f"{self.hour:02}:{self.minute:02}"

    def said_of_secrets(self) -> str:
        """Returns a sentence about the variables that are left out; empty if there are none."""
        if not self.left_out:
            return ""
        return f"Left out, because a secret is in it: {', '.join(self.left_out)}. Give it to the job in a safer way."


_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
"""Control characters, line separators, characters that change the direction of text, and those that XML cannot hold."""
_REPLACED = re.compile(r"%[^\W\d][\w()]*%|\$\(")
"""What Task Scheduler would replace by a value. It cannot be escaped."""


def check(job: Nightly, *, of_windows: bool = False) -> None:
    """Checks that a schedule, or a task of Windows, can hold all values of the job. Raises UsageError."""
    for what, text in _texts(job):
        if found := _HARMFUL.search(text):
            shown = found[0].encode("unicode_escape").decode("ascii")
            raise UsageError(
                f"{what} has a control character in it ({shown}), which no schedule can hold",
                hint="rename it, or take it out",
            )
        if not is_unicode(text):
            raise UsageError(f"{what} has bytes in it that are not UTF-8", hint="rename it, or take them out")
        # A notifier is run by cmd, which would put the same values there.
        if of_windows and what != "--notify" and (found := _REPLACED.search(text)):
            raise UsageError(
                f"{what} has {found[0]} in it, which a task of Windows takes for a variable", hint="rename it"
            )


def _texts(job: Nightly) -> Iterable[tuple[str, str]]:
    """Yields the name and the text of everything that is written into a schedule."""
    yield "the project folder", str(job.project)
    yield "the path of this Python", job.python
    yield "--log", str(job.log)
    yield "--region", job.region
    yield "the bucket's name", job.bucket
    yield "--plans", job.plans
    yield "the local root", job.root
    yield "the project of the records", job.gcp_project
    given = job.options + job.of_apply
    yield from zip(given[::2], given[1::2], strict=True)
    for name, value in job.environment.items():
        yield f"the environment's {name}", value
