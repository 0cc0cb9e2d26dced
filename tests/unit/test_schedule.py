"""The nightly job for each scheduler: what is printed is taken by the scheduler's own tool, whatever the paths."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
import yaml

from reconcile.commands.jobenv import carried
from reconcile.commands.nightly import Nightly
from reconcile.commands.schedule import File, Schedule, schedule
from reconcile.core.errors import UsageError
from tests.kit.small_project import make_project
from tests.kit.windows import rules

TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
HOSTILE = '/srv/a b/100%/$HOME/it\'s "q"/[x]/\\n'


def nightly(
    folder: str = "/srv/studio", *, notify: str | None = None, bwlimit: str | None = None, **more: Any
) -> Nightly:
    passed = {"--bwlimit": bwlimit, "--notify": notify}
    given: dict[str, Any] = {
        "python": f"{folder}/.venv/bin/python",
        "project": PurePosixPath(folder),
        "options": (),
        "hour": 3,
        "minute": 45,
        "log": PurePosixPath(folder) / ".reconcile" / "nightly.log",
        "environment": {"GOOGLE_APPLICATION_CREDENTIALS": f"{folder}/key.json"},
        "left_out": (),
        "of_apply": tuple(word for name, value in passed.items() if value for word in (name, value)),
        "bucket": "gs://my-bucket/anime_dance",
        "region": "europe-west1",
        "gcp_project": "my-project",
    }
    return Nightly(**(given | more))


def text(made: Schedule, name: str) -> str:
    return next(file.text for file in made.files if file.name == name)


# -- cron --


def cron_lines(made: Schedule) -> list[str]:
    lines = text(made, "reconcile.cron").splitlines()
    return [line for line in lines if re.match(r"[\d*]", line)]


@pytest.mark.parametrize("folder", ["/srv/studio", HOSTILE])
def test_a_crontab_line_is_five_times_and_a_command_that_a_shell_reads_back(folder: str) -> None:
    job = nightly(folder, notify="mail -s 'it ran 100%' me")
    for line, more in zip(cron_lines(schedule("cron", job)), ([], ["--if-older", "26h"]), strict=True):
        assert not re.search(r"(?<!\\)%", line)
        *when, command = line.split(None, 5)
        assert len(when) == 5
        words = shlex.split(command.replace(r"\%", "%"))
        assert words == job.logged(*more)


def test_a_crontab_runs_every_night_and_asks_every_hour_whether_one_was_missed() -> None:
    first, second = cron_lines(schedule("cron", nightly()))
    assert first.startswith("45 3 * * *  ")
    assert second.startswith("15 * * * *  ")


@pytest.mark.skipif(shutil.which("crontab") is None, reason="crontab is not on this machine")
@pytest.mark.parametrize("folder", ["/srv/studio", HOSTILE])
def test_crontab_itself_takes_it(folder: str, tmp_path: Path) -> None:
    file = tmp_path / "reconcile.cron"
    file.write_text(text(schedule("cron", nightly(folder)), "reconcile.cron"), encoding="utf-8")
    helped = subprocess.run(["crontab", "-h"], capture_output=True, text=True, check=False)
    flag = "-T" if "-T" in helped.stdout + helped.stderr else "-n"
    done = subprocess.run(["crontab", flag, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- systemd --


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
@pytest.mark.parametrize("name", ["studio", "a b 100% $HOME it's [x]"])
def test_systemd_itself_takes_it(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    job = nightly(str(folder), python=sys.executable, notify='mail -s "100% $done" me')
    for file in schedule("systemd", job).files:
        (tmp_path / file.name).write_text(file.text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "--user", "--man=no", "verify", "reconcile.service", "reconcile.timer"],
        cwd=tmp_path,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "reconcile" in line]
    assert ours == []


def test_a_systemd_timer_catches_up_and_a_service_gives_every_word_as_it_is() -> None:
    made = schedule("systemd", nightly(HOSTILE))
    assert "Persistent=true" in text(made, "reconcile.timer")
    assert "OnCalendar=*-*-* 03:45:00" in text(made, "reconcile.timer")
    service = text(made, "reconcile.service")
    (start,) = (line for line in service.splitlines() if line.startswith("ExecStart="))
    assert '100%%/$$HOME/it\'s \\"q\\"' in start
    (environment,) = (line for line in service.splitlines() if line.startswith("Environment="))
    assert "100%%/$HOME/" in environment


# -- Windows --


def words_of(answer: Any) -> list[str]:
    """The words of a task that was printed."""
    return words(Schedule("", "windows", (File("reconcile.xml", "", answer.out),), ()))


def words(made: Schedule) -> list[str]:
    """The words of the task's command line, as the C runtime of Windows reads them."""
    root = ElementTree.fromstring(text(made, "reconcile.xml").encode("utf-16"))
    program, line = (root.findtext(f"{TASK}Actions/{TASK}Exec/{TASK}{name}") for name in ("Command", "Arguments"))
    assert program is not None
    assert line is not None
    found, word, quoted = [program], None, False
    for slashes, sign in re.findall(r'(\\*)("|[^\\"]|$)', line):
        if slashes or sign.strip() or (sign and quoted):
            word = word or ""
        if sign == '"':
            word = (word or "") + slashes[: len(slashes) // 2]
            if len(slashes) % 2:
                word += '"'
            else:
                quoted = not quoted
        elif (sign == "" or sign.isspace()) and not quoted:
            found += [] if word is None else [word + slashes]
            word = None
        else:
            word = (word or "") + slashes + sign
    return found


def test_a_windows_task_is_the_xml_that_task_scheduler_reads() -> None:
    folder = PureWindowsPath(r"C:\oo\bar & <co>")
    made = schedule(
        "windows",
        nightly(
            project=folder,
            python=r"C:\Python 3\python.exe",
            log=folder / "nightly.log",
            environment={"RECONCILE_BUCKET_URI": "gs://b/p"},
        ),
    )
    (file,) = made.files
    assert file.encoding == "utf-16"
    root = ElementTree.fromstring(file.text.encode("utf-16"))
    assert [child.tag.removeprefix(TASK) for child in root] == [
        "RegistrationInfo",
        "Triggers",
        "Principals",
        "Settings",
        "Actions",
    ]
    assert root.findtext(f"{TASK}Settings/{TASK}StartWhenAvailable") == "true"
    assert root.findtext(f"{TASK}Settings/{TASK}MultipleInstancesPolicy") == "IgnoreNew"
    assert root.findtext(f"{TASK}Triggers/{TASK}CalendarTrigger/{TASK}StartBoundary", "").endswith("T03:45:00")
    assert root.findtext(f"{TASK}Actions/{TASK}Exec/{TASK}WorkingDirectory") == str(folder)
    program, *given = words(made)
    assert (program, given[:6]) == ("C:\\Python 3\\python.exe", ["-X", "utf8", "-P", "-m", "reconcile", "apply"])
    assert given[-4:] == ["--env", "RECONCILE_BUCKET_URI=gs://b/p", "--log-file", str(folder / "nightly.log")]


@cache
def task_schema() -> Any:
    """The schema of Task Scheduler. Its package takes long to import, and is for two tests."""
    import xmlschema

    return xmlschema.XMLSchema(str(Path(__file__).with_name("task_scheduler.xsd")))


def test_a_windows_task_is_valid_by_the_schema_of_task_scheduler() -> None:
    schema = task_schema()
    job = nightly(project=PureWindowsPath("C:\\a & <b>"), notify='curl "https://x/?a=1&b=2"')
    document = text(schedule("windows", job), "reconcile.xml")
    schema.validate(ElementTree.fromstring(document.encode("utf-16")))
    wrong = document.replace("<Enabled>true</Enabled>", "<Enabled>perhaps</Enabled>", 1)
    assert not schema.is_valid(ElementTree.fromstring(wrong.encode("utf-16")))


@pytest.mark.parametrize("notify", ['curl "https://x/?a=1&b=%2"', "say ^ %RECONCILE_EXIT_CODE% | \\", '"', ""])
def test_a_windows_task_gives_every_word_as_it_is(notify: str) -> None:
    folder, variables = PureWindowsPath("C:\\my dir (100%) & \\"), {"no_proxy": 'x" & calc & "', "A": "C:\\a b\\"}
    job = nightly(project=folder, log=folder / "nightly.log", notify=notify or None, environment=variables)
    given = [word for name in sorted(variables) for word in ("--env", f"{name}={variables[name]}")]
    assert words(schedule("windows", job)) == job.logged(*given)


@pytest.mark.parametrize("text", ["C:\\%TEMP%\\x", "$(Arg0)", "%a(b)%"])
def test_what_task_scheduler_would_replace_is_refused(text: str) -> None:
    for more in ({"project": PureWindowsPath(text)}, {"environment": {"no_proxy": text}}, {"python": text}):
        with pytest.raises(UsageError, match="takes for a variable"):
            schedule("windows", nightly(**more))
        schedule("cron", nightly(**more))


def test_a_windows_task_is_registered_for_each_way_of_logging_on_by_lines_that_can_be_pasted(run: Any) -> None:
    answer = run("schedule", "windows")
    task = ElementTree.fromstring(answer.out.encode("utf-16"))
    way = f">{task.findtext(f'{TASK}Principals/{TASK}Principal/{TASK}LogonType')}<"
    lines = answer.err[answer.err.index("# Install:") :].splitlines()
    registered = [line for line in lines if "Register-ScheduledTask" in line and not line.startswith("#")]
    assert [re.search(r"Replace\((.*?)\)", line) is not None for line in registered] == [False, True, True]
    assert all(f'"{way}"' in line for line in registered[1:])
    schema = task_schema()
    for kind in ("Password", "S4U"):
        (line,) = (line for line in registered if f">{kind}<" in line)
        assert "-User " in line
        schema.validate(ElementTree.fromstring(answer.out.replace(way, f">{kind}<").encode("utf-16")))
    assert "reconcile status --max-age 26h" in lines
    assert run("schedule", "windows", "--quiet").err == ""


def test_a_windows_task_runs_in_the_python_without_a_window(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python.exe"
    monkeypatch.setattr(sys, "executable", str(python))
    for there, name in ((False, "python.exe"), (True, "pythonw.exe")):
        if there:
            (tmp_path / name).touch()
        made = run("schedule", "windows").out
        assert f"<Command>{tmp_path / name}</Command>" in made
        assert f"{python} -X" in run("schedule", "cron").out


def test_a_job_names_no_drive_of_this_session(run: Any, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with rules(monkeypatch) as system:
        system.calls.drives = {"Z:\\": "\\\\nas\\share", "O:\\": "C:\\a", "C:\\": "C:\\"}
        for given, known in (
            ("Z:\\studio\\x", "\\\\nas\\share\\studio\\x"),
            ("O:\\", "C:\\a\\"),
            ("C:\\b", "C:\\b"),
            ("\\\\nas\\x\\y", "\\\\nas\\x\\y"),
            ("output", "output"),
        ):
            assert system.beyond_drives(given) == known
        monkeypatch.setenv("RECONCILE_LOCAL_ROOT", "Z:\\out")
        assert carried(os.environ)[0]["RECONCILE_LOCAL_ROOT"] == "\\\\nas\\share\\out"


def test_what_a_job_is_given_by_a_drive_is_named_as_every_session_knows_it_and_old_records_are_thought_of(
    run: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["--rules", str(project / "rules" / "asset_map.toml"), "--log", str(project / "night.log")]
    with rules(monkeypatch) as system:
        plain = run("schedule", "windows", *given)
        system.beyond_drives = lambda path: path.replace(str(project), "//nas/share")  # type: ignore[method-assign]
        found = words_of(run("schedule", "windows", *given))
        away = run("schedule", "windows", *given, "--local-root", str(project / "output"))
    assert "previous_roots" not in plain.err
    for option, place in (("--rules", "rules/asset_map.toml"), ("--log-file", "night.log")):
        assert found[found.index(option) + 1] == f"//nas/share/{place}"
    assert words_of(away)[words_of(away).index("--local-root") + 1] == "//nas/share/output"
    assert f"put {str(project / 'output')!r} into previous_roots" in away.err


# -- Cloud Run --


def test_a_cloud_run_job_gets_nothing_that_is_of_this_machine(run: Any) -> None:
    job = nightly(options=("--bucket-uri", "gs://b/p"))
    found = yaml.safe_load(text(schedule("cloud-run", job), "reconcile-job.yaml"))
    (container,) = found["spec"]["template"]["spec"]["template"]["spec"]["containers"]
    assert "env" not in container
    assert container["args"][:5] == ["apply", "-C", "/project", "--bucket-uri", "gs://b/p"]
    assert run("schedule", "cloud-run", "--local-root", "elsewhere", "--json").code == 64


def test_a_cloud_run_job_is_yaml_with_one_task_and_the_words_as_they_are() -> None:
    job = nightly(notify='say "100%"', environment={"RECONCILE_BUCKET_URI": "gs://b/p: #x"})
    found = yaml.safe_load(text(schedule("cloud-run", job), "reconcile-job.yaml"))
    assert (found["apiVersion"], found["kind"]) == ("run.googleapis.com/v1", "Job")
    execution = found["spec"]["template"]["spec"]
    assert (execution["taskCount"], execution["parallelism"]) == (1, 1)
    task = execution["template"]["spec"]
    assert task["maxRetries"] == 0
    (container,) = task["containers"]
    assert container["args"][-2:] == ["--notify", 'say "100%"']
    assert container["env"] == [{"name": "RECONCILE_BUCKET_URI", "value": "gs://b/p: #x"}]
    assert task["volumes"][0]["name"] == container["volumeMounts"][0]["name"]


def test_a_cloud_run_job_is_in_the_project_of_the_records(run: Any) -> None:
    made = run("schedule", "cloud-run", "--records-uri", "firestore://studio-1/(default)/characters").out
    assert "PROJECT_ID" not in made
    assert "serviceAccountName: reconcile@studio-1.iam.gserviceaccount.com" in made
    assert "gcloud projects add-iam-policy-binding studio-1 " in made
    old = text(schedule("cloud-run", nightly(gcp_project="example.com:studio")), "reconcile-job.yaml")
    assert "serviceAccountName: reconcile@studio.example.com.iam.gserviceaccount.com" in old
    assert "-docker.pkg.dev/example.com/studio/reconcile/" in old
    for odd in ("x;id", "a b", "$(id)", "Studio", ""):
        with pytest.raises(UsageError, match="Cloud Run"):
            schedule("cloud-run", nightly(gcp_project=odd))


def test_a_fleet_has_a_plan_job_an_array_of_tasks_and_a_workflow(run: Any) -> None:
    job = nightly(shards=16, plans="gs://my-bucket/plans", root="out put", bwlimit="10M")
    made = schedule("cloud-run", job)
    tasks = yaml.safe_load(text(made, "reconcile-apply.yaml"))["spec"]["template"]["spec"]
    assert (tasks["taskCount"], tasks["parallelism"]) == (16, 16)
    (command,) = tasks["template"]["spec"]["containers"][0]["args"]
    assert "--local-root '/project/out put' " in command
    assert "--bwlimit 10M" in command
    steps = yaml.safe_load(text(made, "reconcile-night.yaml"))["main"]["steps"]
    names = [name for step in steps for name in step]
    assert names == ["begin", "plan", "uploads", "records", "report"]
    # A plan that is not complete, or a task that failed, leaves the rest to be done; only the last step may fail.
    for at, name in enumerate(names[1:-1], 1):
        ((going_on,),) = [step.values() for step in steps[at][name]["except"]["steps"]]
        assert going_on == {"next": names[at + 1]}
    assert "except" not in steps[-1]["report"]
    assert "reconcile schedule cloud-run --shards 16 --out ." in made.install
    for line in (*made.install, command):
        subprocess.run(["sh", "-n"], input=line.encode(), check=True)
    for odd in ("gs://b", "s3://b/x", 'gs://b/"x', "gs://b/$(id)"):
        with pytest.raises(UsageError, match="--plans"):
            schedule("cloud-run", nightly(shards=2, plans=odd, root="output"))
    assert run("schedule", "cron", "--shards", "4").code == 64
    assert run("schedule", "cloud-run", "--shards", "4", "--bucket-uri", "gs://all").code == 64
    assert run("schedule", "cloud-run", "--shards", "4", "--plans", "gs://my-bucket/anime_dance/x").code == 64


# -- the command --


@pytest.mark.parametrize("kind", ["cron", "systemd", "windows", "cloud-run"])
def test_the_command_prints_and_writes_it(kind: str, run: Any, project: Path, tmp_path: Path) -> None:
    answer = run("schedule", kind)
    assert answer.code == 0
    made = run("schedule", kind, "--at", "23:05", "--json").document("schedule")
    assert "reconcile" in answer.out
    assert "nstall" in (answer.err if kind == "windows" else answer.out)
    out = tmp_path / "out"
    assert run("schedule", kind, "--out", str(out)).code == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(file["name"] for file in made["files"])
    again = run("schedule", kind, "--out", str(out), "--json")
    assert again.code == 64
    assert "already" in again.document("error")["message"]


KINDS = ["cron", "systemd", "windows", "cloud-run"]
LIMIT = "08:00,512k 18:00,10M 23:00,off"


def test_a_limit_of_the_bandwidth_is_one_word_of_each_job() -> None:
    job = nightly(bwlimit=LIMIT)
    for line in cron_lines(schedule("cron", job)):
        assert words_after(shlex.split(line), "--bwlimit") == [LIMIT]
    unit = text(schedule("systemd", job), "reconcile.service")
    assert f'"--bwlimit" "{LIMIT}"' in unit
    assert words_after(words(schedule("windows", job)), "--bwlimit") == [LIMIT]
    found = yaml.safe_load(text(schedule("cloud-run", job), "reconcile-job.yaml"))
    (container,) = found["spec"]["template"]["spec"]["template"]["spec"]["containers"]
    assert words_after(container["args"], "--bwlimit") == [LIMIT]


def words_after(found: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(found) if name == option]


@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_that_apply_would_refuse_is_refused_when_the_job_is_printed(kind: str, run: Any) -> None:
    assert LIMIT in run("schedule", kind, "--bwlimit", LIMIT).out
    refused = run("schedule", kind, "--bwlimit", "fast", "--json")
    assert refused.code == 64
    assert "--bwlimit" in refused.document("error")["message"]


def test_no_comment_of_a_windows_task_holds_a_command_that_xml_would_break(run: Any) -> None:
    made = run("schedule", "windows")
    comments = re.findall(r"<!--(.*?)-->", made.out, re.DOTALL)
    assert comments
    assert not [
        comment for comment in comments if re.search(r"- ?-|reconcile \w+ ", comment.replace("reconcile: ", ""))
    ]
    assert "\nreconcile status --max-age 26h\n" in made.err


def test_the_printed_crontab_job_does_the_nightly_run(run: Any, tmp_path: Path) -> None:
    """The line itself, as cron would give it to the shell, with nothing of this environment but what it names."""
    folder = make_project(tmp_path / "100% it's a studio")
    made = run("schedule", "cron", "--bwlimit", LIMIT, "--json", folder=folder).document("schedule")
    lines = made["files"][0]["text"].splitlines()
    line = next(line for line in lines if line.startswith("0 3 "))
    command = line.split(None, 5)[5].replace(r"\%", "%")
    done = subprocess.run(["/bin/sh", "-c", command], env={"PATH": "/usr/bin:/bin"}, cwd="/", check=False)
    assert done.returncode == 0
    assert "2 uploads" in (folder / ".reconcile" / "nightly.log").read_text(encoding="utf-8")
    assert run("plan", "--detailed-exitcode", folder=folder).code == 0


PROXIED = {
    "https_proxy": "http://proxy.example:3128",
    "http_proxy": "http://proxy.example:3128",
    "HTTPS_PROXY": "http://proxy.example:3129",
    "no_proxy": "127.0.0.1,*.example",
    "NO_PROXY": "localhost",
    "ALL_PROXY": "socks5://proxy.example:1080",
    "all_proxy": "socks5://proxy.example:1080",
    "grpc_proxy": "http://proxy.example:3128",
    "GOOGLE_CLOUD_PROJECT": "my-project",
    "GOOGLE_CLOUD_QUOTA_PROJECT": "payer",
    "GOOGLE_API_USE_CLIENT_CERTIFICATE": "true",
}
OF_FILES = {
    "REQUESTS_CA_BUNDLE": "/etc/ssl/corporate.pem",
    "CURL_CA_BUNDLE": "/etc/ssl/corporate.pem",
    "SSL_CERT_FILE": "/etc/ssl/corporate.pem",
    "SSL_CERT_DIR": "/etc/ssl/certs:/etc/ssl/more",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": "/etc/ssl/corporate.pem",
    "GOOGLE_APPLICATION_CREDENTIALS": "/etc/keys/key.json",
    "CLOUDSDK_CONFIG": "/etc/gcloud",
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_run_honours_of_its_environment_goes_into_the_job(kind: str) -> None:
    found, secret = carried({**PROXIED, **OF_FILES, "PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x"})
    assert found == {**PROXIED, **OF_FILES}
    assert secret == ()
    made = schedule(kind, nightly(environment=found))
    whole = made.files[0].text
    if kind == "cloud-run":
        job = yaml.safe_load(whole)["spec"]["template"]["spec"]["template"]["spec"]
        assert {each["name"]: each["value"] for each in job["containers"][0]["env"]} == PROXIED
        (line,) = (line for line in whole.splitlines() if "it is of this machine" in line)
        assert all(name in line for name in OF_FILES)
        return
    for name, value in (PROXIED | OF_FILES).items():
        if kind == "windows":
            assert f"{name}={value}" in words(made)
            continue
        lines = {"cron": f"\n{name}={value}\n", "systemd": f'\nEnvironment="{name}={value}"\n'}
        assert lines[kind] in whole


def test_names_of_files_are_whole_in_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found, _ = carried({"SSL_CERT_DIR": f"a{os.pathsep}/b", "REQUESTS_CA_BUNDLE": "ca.pem", "SSL_CERT_FILE": ""})
    assert found["SSL_CERT_DIR"] == f"{tmp_path}/a{os.pathsep}/b"
    assert found["REQUESTS_CA_BUNDLE"] == f"{tmp_path}/ca.pem"
    assert found["SSL_CERT_FILE"] == ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("https_proxy", "http://me:hunter2@proxy.example:3128"),
        ("HTTPS_PROXY", "http://hunter2@proxy.example"),
        ("ALL_PROXY", "socks5h://me:hunter2@proxy.example"),
        ("http_proxy", "me:hunter2@proxy.example:3128"),
        ("RECONCILE_HOOK_TOKEN", "hunter2"),
    ],
)
def test_what_holds_a_secret_is_left_out_and_that_is_said(
    kind: str, name: str, value: str, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    answer = run("schedule", kind)
    assert answer.code == 0
    assert "hunter2" not in answer.out + answer.err
    assert f"warning: {name} holds a secret" in answer.err
    (line,) = (line for line in answer.out.splitlines() if "a secret is in it" in line)
    assert name in line
    if kind == "windows":
        ElementTree.fromstring(answer.out.encode("utf-16"))


def test_an_endpoint_with_a_login_is_refused_and_not_left_out_for_google_s(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILE_BUCKET_ENDPOINT", "http://me:hunter2@gateway.example")
    answer = run("schedule", "cron")
    assert answer.code == 64
    assert "hunter2" not in answer.out + answer.err


# -- what would be a line of its own --

HARM = ["\n", "\r", "\0", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\u202e", "\ufffe", "\udcff"]
LINE = "x{}* * * * * touch /tmp/planted"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("harm", HARM, ids=ascii)
def test_nothing_with_a_control_character_is_written_down(kind: str, harm: str) -> None:
    text = LINE.format(harm)
    path = PurePosixPath("/srv") / text
    for more, what in (
        ({"project": path}, "the project folder"),
        ({"log": path}, "--log"),
        ({"python": str(path)}, "this Python"),
        ({"options": ("--rules", str(path))}, "--rules"),
        ({"options": ("--local-root", text)}, "--local-root"),
        ({"notify": text}, "--notify"),
        ({"environment": {"no_proxy": text}}, "no_proxy"),
        ({"bucket": f"gs://{text}"}, "bucket"),
        ({"region": text}, "--region"),
    ):
        with pytest.raises(UsageError) as caught:
            schedule(kind, nightly(**more))
        assert what in caught.value.message
        assert text not in caught.value.sentence


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("kind", KINDS)
def test_a_project_folder_that_would_be_a_line_of_its_own_is_refused(kind: str, run: Any, tmp_path: Path) -> None:
    folder = make_project(tmp_path / "x\n* * * * * touch planted")
    for more in ([], ["--json"], ["--out", str(tmp_path / "jobs")]):
        answer = run("schedule", kind, *more, folder=folder)
        assert answer.code == 64
        assert "\n* * *" not in answer.out
    assert not (tmp_path / "jobs").exists()


def test_a_variable_whose_name_would_be_a_line_of_its_own_is_not_carried() -> None:
    assert carried({"RECONCILE_X\n* * * * * touch planted": "1", "RECONCILE_": "1"})[0] == {"RECONCILE_": "1"}


@pytest.mark.parametrize("region", ["x\ny", "us central1", "us-central1; touch planted", "", "$(id)"])
def test_a_region_is_a_name(region: str, run: Any) -> None:
    assert run("schedule", "cloud-run", "--region", region).code == 64


def test_a_value_in_quotes_keeps_them_in_a_crontab() -> None:
    made = schedule("cron", nightly(environment={"no_proxy": '"a"', "NO_PROXY": "'b'"}))
    assert """\nNO_PROXY="'b'"\nno_proxy=""a""\n""" in text(made, "reconcile.cron")


@pytest.mark.parametrize("end", ["\\", " "])
def test_a_folder_whose_end_systemd_would_misread_takes_no_line_along(end: str) -> None:
    service = text(schedule("systemd", nightly(f"/srv/studio{end}")), "reconcile.service")
    assert "WorkingDirectory" not in service
    assert "\nEnvironment=" in service


def test_a_name_in_any_script_is_printed_as_it_is(run: Any, tmp_path: Path) -> None:
    folder = make_project(tmp_path / "スタジオ\u3000👩\u200d🎨")
    assert f"-C '{folder}'" in run("schedule", "cron", folder=folder).out


@pytest.mark.parametrize("kind", KINDS)
def test_every_job_fails_while_an_error_stands(kind: str) -> None:
    whole = "".join(file.text for file in schedule(kind, nightly()).files)
    assert re.search(r"--fail-on\W+error", whole)


@pytest.mark.parametrize(
    "given",
    [["--at", "25:00"], ["--at", "3"], ["--notify", "a\nb"], ["--log", "/no/such/dir/x"], ["--log", "characters.json"]],
)
def test_what_no_scheduler_can_hold_exits_64(given: list[str], run: Any) -> None:
    assert run("schedule", "cron", *given, "--json").code == 64


def test_the_environment_that_the_job_needs_goes_with_it(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILE_LOCAL_ROOT", "/media/output")
    monkeypatch.setenv("SECRET_OF_SOMEBODY", "x")
    out = run("schedule", "cron").out
    assert "RECONCILE_LOCAL_ROOT=/media/output\n" in out
    assert "SECRET" not in out
