"""The nightly job, written out for a scheduler: complete definitions that can be installed as they are."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import PurePath
from xml.sax.saxutils import escape as xml

import msgspec

from reconcile.jobenv import OF_THIS_MACHINE
from reconcile.nightly import DUE, FAILS, WAIT, Nightly, check

FORMAT = "reconcile.schedule/1"


class File(msgspec.Struct, frozen=True):
    """One definition: its file name, where it is meant to be, and its text in that encoding."""

    name: str
    place: str
    text: str
    encoding: str = "utf-8"


class Schedule(msgspec.Struct, frozen=True):
    """``schedule --json``: the definitions, and the commands that install them and look after them."""

    format: str
    kind: str
    files: tuple[File, ...]
    install: tuple[str, ...]


def schedule(kind: str, job: Nightly) -> Schedule:
    """The definitions for one scheduler: ``cron``, ``systemd``, ``windows`` or ``cloud-run``.

    Raises UsageError for a job that cannot be written down as one: what holds a line break would be a line, and so a
    job, of its own.
    """
    check(job, quotes=kind != "windows")
    files, install = _WRITERS[kind](job)
    return Schedule(FORMAT, kind, files, (f"reconcile schedule {kind} --out .", *install))


# -- cron --


def _cron(job: Nightly) -> tuple[tuple[File, ...], tuple[str, ...]]:
    def line(when: str, *more: str) -> str:
        command = shlex.join(job.command(*more))
        # A percent sign ends a crontab's command, unless a backslash stands before it.
        return f"{when}  {command} >> {shlex.quote(str(job.log))} 2>&1".replace("%", r"\%")

    # A value is taken to the end of the line as it is, but for blanks at its ends and one pair of quotes round it.
    settings = [
        f'{name}="{value}"' if value != value.strip() or value[:1] in ("'", '"') else f"{name}={value}"
        for name, value in sorted(job.environment.items())
    ]
    again = f"{(job.minute + 30) % 60} * * * *"
    text = "\n".join(
        [
            "# reconcile: brings the bucket and the records in step every night.",
            f"# What it says is appended to {job.log}.",
            "# Two runs never overlap: the second waits for the first one's lock, and gives up with exit code 75.",
            f"# Is it still running every night?  reconcile status --max-age {DUE}",
            *(f"# {left}" for left in (job.said_of_secrets(),) if left),
            "SHELL=/bin/sh",
            *settings,
            "",
            f"# Every night at {job.at}.",
            line(f"{job.minute} {job.hour} * * *"),
            "",
            "# Cron does not catch up when a machine was off at that hour, so every hour it is asked whether a night",
            f"# was missed. Where the last good run is younger than {DUE}, nothing is read and nothing is done.",
            "# As long as something keeps failing, or an error needs you (exit code 6), it is tried every hour.",
            line(again, "--if-older", DUE),
            "",
        ]
    )
    file = File("reconcile.cron", "your crontab", text)
    return (file,), ("(crontab -l 2>/dev/null; cat reconcile.cron) | crontab -", "crontab -l")


# -- systemd --


def _systemd(job: Nightly) -> tuple[tuple[File, ...], tuple[str, ...]]:
    environment = [
        f"Environment={_unit_quoted(f'{name}={value}', variables=False)}"
        for name, value in sorted(job.environment.items())
    ]
    service = "\n".join(
        [
            "# reconcile: brings the bucket and the records in step. Started by reconcile.timer.",
            "[Unit]",
            "Description=reconcile: media, bucket and records in step",
            "Documentation=man:reconcile(1)",
            "# Four tries at the most: after a start without a network yet, it is tried again ten minutes later.",
            "StartLimitIntervalSec=12h",
            "StartLimitBurst=4",
            "",
            "[Service]",
            "Type=oneshot",
            *_unit_folder(job.project),
            *(f"# {left}" for left in (job.said_of_secrets(),) if left),
            *environment,
            "# Another run's lock is waited for, and then it gives up with 75; systemd never starts it twice.",
            f"ExecStart={' '.join(_unit_quoted(word) for word in job.command())}",
            "Restart=on-failure",
            "RestartSec=10min",
            "# Not where a person must look first: stale plan, limit, finding, command line, lock, rules, interrupt.",
            "RestartPreventExitStatus=3 4 5 6 64 75 78 130",
            "# An interrupt finishes what is in flight; a large upload may take a while.",
            "KillSignal=SIGINT",
            "TimeoutStopSec=10min",
            "Nice=10",
            "IOSchedulingClass=idle",
            "# What it says is in the journal:  journalctl --user -u reconcile.service",
            "StandardOutput=journal",
            "StandardError=journal",
            "",
        ]
    )
    timer = "\n".join(
        [
            f"# Starts reconcile.service every night at {job.at}, and once after a night that was missed.",
            "[Unit]",
            "Description=reconcile every night",
            "",
            "[Timer]",
            f"OnCalendar=*-*-* {job.at}:00",
            "# A machine that was off at that hour runs it as soon as it is on.",
            "Persistent=true",
            "RandomizedDelaySec=5min",
            "Unit=reconcile.service",
            "",
            "[Install]",
            "WantedBy=timers.target",
            "",
        ]
    )
    folder = "~/.config/systemd/user/"
    install = (
        f"mkdir -p {folder} && cp reconcile.service reconcile.timer {folder}",
        "systemd-analyze --user verify reconcile.service reconcile.timer",
        "systemctl --user daemon-reload && systemctl --user enable --now reconcile.timer",
        "loginctl enable-linger   # so that it runs while nobody is logged in",
        "systemctl --user list-timers reconcile.timer",
    )
    return (
        File("reconcile.service", f"{folder}reconcile.service", service),
        File("reconcile.timer", f"{folder}reconcile.timer", timer),
    ), install


def _unit_quoted(word: str, *, variables: bool = True) -> str:
    """A word of a unit file as it is: specifiers, and where there are ``variables`` those too, are taken literally."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{plain.replace("$", "$$") if variables else plain}"'


def _unit_folder(path: PurePath) -> list[str]:
    """WorkingDirectory is no command line: only specifiers are replaced in it. A backslash at its end would take the
    next line along, and a blank there is lost, so there it is left out: all paths of the job are whole anyway."""
    text = str(path).replace("%", "%%")
    return [] if text.endswith(("\\", " ")) else [f"WorkingDirectory={text}"]


# -- Windows --


def _windows(job: Nightly) -> tuple[tuple[File, ...], tuple[str, ...]]:
    settings = "".join(f'set "{name}={value}" && ' for name, value in sorted(job.environment.items()))
    # cmd itself must see where the program's name ends, so that is quoted for cmd; the rest is for the program alone.
    program, *words = job.command()
    command = " ".join([f'"{program}"', *(_windows_quoted(word) for word in words)])
    # cmd strips the outermost quotes of what follows /c, and takes the rest as it is.
    arguments = f'/d /c "{settings}{command} >> "{job.log}" 2>&1"'
    left = f"\n     {job.said_of_secrets()}" if job.left_out else ""
    text = f"""<?xml version="1.0" encoding="UTF-16"?>
<!-- reconcile: brings the bucket and the records in step every night.
     What it says is appended to the log that the command names.
     Is it still running every night?  reconcile status {_xml_comment("--max-age")} {DUE}{left} -->
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>reconcile: media, bucket and records in step</Description>
    <URI>\\reconcile</URI>
  </RegistrationInfo>
  <Triggers>
    <CalendarTrigger>
      <Enabled>true</Enabled>
      <StartBoundary>2026-01-01T{job.at}:00</StartBoundary>
      <ScheduleByDay>
        <DaysInterval>1</DaysInterval>
      </ScheduleByDay>
    </CalendarTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <!-- Two runs never overlap: a second start is ignored, and another run's lock is waited for. -->
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <AllowHardTerminate>true</AllowHardTerminate>
    <!-- A machine that was off at that hour runs it as soon as it is on. -->
    <StartWhenAvailable>true</StartWhenAvailable>
    <RunOnlyIfNetworkAvailable>true</RunOnlyIfNetworkAvailable>
    <AllowStartOnDemand>true</AllowStartOnDemand>
    <Enabled>true</Enabled>
    <Hidden>false</Hidden>
    <WakeToRun>false</WakeToRun>
    <ExecutionTimeLimit>PT12H</ExecutionTimeLimit>
    <Priority>7</Priority>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>cmd.exe</Command>
      <Arguments>{xml(arguments)}</Arguments>
      <WorkingDirectory>{xml(str(job.project))}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
"""
    install = (
        "Register-ScheduledTask -TaskName reconcile -Xml (Get-Content -Raw reconcile.xml)",
        "Start-ScheduledTask -TaskName reconcile",
        "Get-ScheduledTaskInfo -TaskName reconcile",
    )
    return (File("reconcile.xml", "Task Scheduler", text, "utf-16"),), install


def _windows_quoted(word: str) -> str:
    """A word as the C runtime reads it, in which every sign that cmd knows is taken literally."""
    return re.sub(r'[()%!^"<>&|]', r"^\g<0>", subprocess.list2cmdline([word]))


def _xml_comment(text: str) -> str:
    """Two hyphens may not stand in a comment."""
    return text.replace("--", "- -")


# -- Cloud Run --


def _cloud_run(job: Nightly) -> tuple[tuple[File, ...], tuple[str, ...]]:
    bucket = job.bucket.removeprefix("gs://").partition("/")[0]
    environment = "".join(
        f"\n                - name: {name}\n                  value: {_yaml_quoted(value)}"
        for name, value in sorted(job.environment.items())
        if name not in OF_THIS_MACHINE
    )
    with_environment = f"\n              env:{environment}" if environment else ""
    words = ["apply", "-C", "/project", *job.options, "--yes", *FAILS, "--wait-lock", WAIT, "--log-format", "json"]
    arguments = ", ".join(_yaml_quoted(word) for word in (*words, *(["--notify", job.notify] if job.notify else [])))
    elsewhere = sorted(OF_THIS_MACHINE.intersection(job.environment))
    notes = [f"Left out, because it is of this machine: {', '.join(elsewhere)}."] if elsewhere else []
    notes += [job.said_of_secrets()] if job.left_out else []
    noted = "".join(f"# {note}\n" for note in notes)
    text = f"""# reconcile as a Cloud Run job, started every night by Cloud Scheduler (see the commands below).
# The workflows' folder is mounted at /project: a network share (nfs, below), or a bucket that it is copied to (csi).
# Its .reconcile/ keeps the journal between nights. No lock holds there between machines: every write carries its own
# precondition, so a run beside another is safe. What it says is in Cloud Logging.
{noted}apiVersion: run.googleapis.com/v1
kind: Job
metadata:
  name: reconcile
  labels:
    cloud.googleapis.com/location: {job.region}
spec:
  template:
    spec:
      # One task, never two at once; a failed night is not repeated blindly, the next one goes on from there.
      taskCount: 1
      parallelism: 1
      template:
        spec:
          maxRetries: 0
          timeoutSeconds: "43200"
          # Needs roles/storage.objectUser on the bucket and roles/datastore.user on the project.
          serviceAccountName: reconcile@PROJECT_ID.iam.gserviceaccount.com
          containers:
            - image: {job.region}-docker.pkg.dev/PROJECT_ID/reconcile/reconcile:latest
              command: ["python", "-P", "-m", "reconcile"]
              args: [{arguments}]{with_environment}
              resources:
                limits:
                  cpu: "1"
                  memory: 512Mi
              volumeMounts:
                - name: project
                  mountPath: /project
          # A share in a VPC needs the job to be connected to it (run.googleapis.com/network-interfaces).
          volumes:
            - name: project
              nfs:
                server: NFS_SERVER
                path: /export/project
"""
    docker = """# The image of the job. Build it in a folder that holds reconcile's source.
FROM python:3.12-slim
COPY . /src
RUN pip install --no-cache-dir -r /src/requirements/run.txt && pip install --no-cache-dir --no-deps /src
ENTRYPOINT ["python", "-P", "-m", "reconcile"]
"""
    image = f"{job.region}-docker.pkg.dev/PROJECT_ID/reconcile/reconcile:latest"
    account = "reconcile@PROJECT_ID.iam.gserviceaccount.com"
    install = (
        f"gcloud builds submit --tag {image}",
        f"gcloud storage buckets add-iam-policy-binding {shlex.quote(f'gs://{bucket}')}"
        f" --member serviceAccount:{account} --role roles/storage.objectUser",
        f"gcloud projects add-iam-policy-binding PROJECT_ID --member serviceAccount:{account}"
        " --role roles/datastore.user",
        f"gcloud run jobs replace reconcile-job.yaml --region {job.region}",
        f"gcloud run jobs execute reconcile --region {job.region} --wait",
        f"gcloud run jobs add-iam-policy-binding reconcile --region {job.region} --member serviceAccount:{account}"
        " --role roles/run.invoker",
        f"gcloud scheduler jobs create http reconcile-nightly --location {job.region}"
        f' --schedule "{job.minute} {job.hour} * * *" --time-zone Etc/UTC --http-method POST'
        f" --uri https://{job.region}-run.googleapis.com/apis/run.googleapis.com/v1/namespaces/PROJECT_ID/jobs/reconcile:run"
        f" --oauth-service-account-email {account}"
        " --max-retry-attempts 3 --min-backoff 10m   # a start that was missed is tried again",
    )
    return (
        File("reconcile-job.yaml", "Cloud Run", text),
        File("Dockerfile", "the folder that the image is built in", docker),
    ), install


def _yaml_quoted(text: str) -> str:
    """A JSON string is a YAML string."""
    return msgspec.json.encode(text).decode()


_WRITERS: Mapping[str, Callable[[Nightly], tuple[tuple[File, ...], tuple[str, ...]]]] = {
    "cron": _cron,
    "systemd": _systemd,
    "windows": _windows,
    "cloud-run": _cloud_run,
}
