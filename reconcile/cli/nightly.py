"""The command schedule: prints the nightly job for a scheduler, ready to install."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from reconcile.adapters.shared_folder import beside_assets
from reconcile.adapters.state.folder import FOLDER
from reconcile.adapters.system import current
from reconcile.cli.files import STDOUT, check_place, write_new
from reconcile.cli.options import PLACES, Common, option, option_name, typed
from reconcile.cli.session import Session, bandwidth_of
from reconcile.commands import schedule as schedules
from reconcile.commands.jobenv import carried
from reconcile.commands.nightly import Nightly
from reconcile.config.environment import absolute
from reconcile.core.errors import ExitCode, UsageError
from reconcile.core.names import BucketRoot
from reconcile.views.schedule import has_own_comments, show_install, show_schedule

Scheduler = Literal["cron", "systemd", "windows", "cloud-run"]
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_REGION = re.compile(r"[a-z]+(-[a-z0-9]+)*", re.ASCII)


def schedule(
    session: Session,
    scheduler: Annotated[Scheduler, typer.Argument(metavar="SCHEDULER", help="cron, systemd, windows, cloud-run")],
    at: Annotated[str, typer.Option(metavar="HH:MM", help="The time of day.")] = "03:00",
    log: Annotated[Path | None, option(metavar="FILE", help="The file to append the job's output to.")] = None,
    notify: Annotated[str | None, option(metavar="COMMAND", help="The same as apply --notify.")] = None,
    bwlimit: Annotated[str | None, option(metavar="RATE", help="The same as apply --bwlimit.")] = None,
    region: Annotated[str, typer.Option(metavar="REGION", help="For cloud-run: where the job runs.")] = "us-central1",
    shards: Annotated[
        int | None, option(min=2, max=10_000, metavar="N", help="For cloud-run: N tasks apply one plan.")
    ] = None,
    plans: Annotated[
        str | None, option(metavar="URI", help="Where to put the plan folders, if not next to the assets.")
    ] = None,
    out: Annotated[
        Path | None, option(metavar="DIR", help="Write the files to this folder, overwriting none; - is stdout.")
    ] = None,
) -> ExitCode:
    found = _TIME.fullmatch(at)
    if found is None:
        raise UsageError(f"--at {at!r} is not a time of day", hint="write it as 03:00")
    if _REGION.fullmatch(region) is None:
        raise UsageError(f"--region {region!r} is not a region", hint="write it as us-central1")
    if shards and scheduler != "cloud-run":
        raise UsageError("--shards is for cloud-run", hint="one machine's job has one run")
    bandwidth_of(bwlimit)  # an option that apply would refuse every night is refused now
    environment, secret = carried(os.environ)
    common = session.common
    endpoints = (common.bucket_endpoint or "", common.records_endpoint or "")
    is_here = common.rules or common.local_root or any(each.startswith("file:") for each in endpoints)
    if scheduler == "cloud-run" and is_here:
        raise UsageError(
            "--rules, --local-root and endpoints in a folder name places on this machine, and the job runs on another",
            hint="set them in the rules file of the folder that is mounted there",
        )
    out = None if out == STDOUT else out
    with session.opened() as project:
        if out is not None:
            check_place(out, project.settings)
        folder = project.settings.project.resolve()
        if log is None:
            project.state  # noqa: B018 makes the folder of the log
        elif not absolute(log).parent.is_dir():
            raise UsageError(f"--log {str(log)!r}: there is no folder to write it in", hint="make it, or name another")
        elif log.suffix != ".log":
            raise UsageError(
                f"--log {str(log)!r} does not end in .log",
                hint="give it that ending, so that nobody mistakes it for work",
            )
        elif absolute(log).parent != folder / FOLDER:
            check_place(log, project.settings, "--log")
        root = project.settings.root_given
        if current().beyond_drives(root) != root and root not in project.settings.previous_roots:
            session.warn(
                f"the job has no drive {root[:2]}, so put {root!r} into previous_roots if records hold such paths",
                of="warning",
            )
        job = Nightly(
            python=_python(scheduler),
            project=folder,
            options=_options(common),
            hour=int(found[1]),
            minute=int(found[2]),
            log=_place(log or folder / FOLDER / "nightly.log"),
            environment=environment,
            left_out=secret,
            of_apply=tuple(typed([("--bwlimit", bwlimit or None), ("--notify", notify or None)])),
            bucket=str(project.bucket),
            region=region,
            gcp_project=project.settings.records.project,
            shards=shards or 0,
            plans=_plans(project.bucket, plans) if shards else "",
            root=os.path.relpath(project.settings.root, project.settings.project).replace(os.sep, "/"),
        )
    made = schedules.schedule(scheduler, job)
    for name in job.left_out:
        session.warn(f"{name} holds a secret, so it is left out of the job: give it to the job yourself", of="warning")
    if out is not None:
        written = write_new(out, {file.name: file.text.encode(file.encoding) for file in made.files})
        session.note(f"written: {', '.join(map(str, written))}")
    session.result(made, lambda terminal: (show_schedule if out is None else show_install)(terminal, made))
    if has_own_comments(made) and out is None and not (session.json or common.quiet):
        show_install(session.terminal(aside=True), made)
    return ExitCode.OK


def _plans(assets: BucketRoot, named: str | None) -> str:
    """Returns the place of the plans for several machines: as named, or next to the assets. Raises UsageError for a
    place among the assets."""
    if named is None and not assets.prefix:
        raise UsageError(
            f"the assets take up all of {assets}", hint="name another bucket, as --plans gs://BUCKET/plans"
        )
    return str(beside_assets(named or f"gs://{assets.bucket}/reconcile-plans", assets))


def _python(scheduler: Scheduler) -> str:
    """Returns the Python of the job; for a task of Windows the one that opens no console window, if there is one."""
    windowless = Path(sys.executable).with_name("pythonw.exe")
    found = str(windowless) if scheduler == "windows" and windowless.is_file() else sys.executable
    return current().beyond_drives(found)


def _place(path: Path) -> Path:
    """Returns a path in a form that works in a session without the drive letters of this one."""
    return Path(current().beyond_drives(str(absolute(path))))


def _options(common: Common) -> tuple[str, ...]:
    """Returns the common options that were given here and also apply to the job, with absolute paths."""
    places = {name: getattr(common, name) for name in PLACES}
    if common.rules is not None:
        places["rules"] = _place(common.rules)
    if common.local_root is not None:
        places["local_root"] = current().beyond_drives(common.local_root)
    return tuple(typed((option_name(name), value) for name, value in places.items()))
