"""What befalls a whole run: credentials that expire, wrong clocks, refusals for good, full disks, forks, old plans."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconcile.core import planfile
from reconcile.core.changes import SetField
from reconcile.core.report import OutcomeKind, Status
from tests.kit.rig import COSPLAY, KEY, OTHER, PREFIX, Rig, by_kind, failed, results
from tests.kit.small_project import make_project
from tests.kit.workshop import environment
from tests.kit.world import codes, titled, windows
from tests.servers.faults import FOREVER, Call, Fault
from tests.servers.gcs_world import Preconditions

APPLIED, ALREADY, STALE = OutcomeKind.APPLIED, OutcomeKind.ALREADY, OutcomeKind.STALE
FAILED, BLOCKED = OutcomeKind.FAILED, OutcomeKind.BLOCKED
UPLOAD = "/upload/"
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")


# -- credentials --------------------------------------------------------------------------------------------------


class Tokens:
    """Where a machine's credentials get their tokens: ``t1``, ``t2``, …; the bucket takes the ones that are valid."""

    def __init__(self, rig: Rig, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given = 0
        self.expired: set[str] = set()
        self._server = rig.gcs
        rig.endpoint = ""
        monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
        monkeypatch.setenv("API_ENDPOINT_OVERRIDE", rig.gcs.url)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", self._file(folder))
        self.install()

    def install(self) -> None:
        """Arms the server; ``Rig.quiet`` disarms it, so that any token will do and none is given."""
        self._server.script.add(Fault(path="/token", status=200, body=self._give, times=FOREVER))
        refused = Fault(path="/storage/", when=self._is_expired, status=401, reason="authError", times=FOREVER)
        self._server.script.add(refused)

    def expire(self) -> None:
        """All tokens given so far are worth nothing from now on."""
        self.expired = {f"Bearer t{number}" for number in range(1, self.given + 1)}

    def _give(self) -> bytes:
        self.given += 1
        answer = {"access_token": f"t{self.given}", "expires_in": 3600, "token_type": "Bearer", **ISSUED}
        return json.dumps(answer).encode()

    def _is_expired(self, call: Call) -> bool:
        return call.headers.get("authorization") in self.expired

    def _file(self, folder: Path) -> str:
        (folder / "subject").write_text("subject token")
        fields = {
            "type": "external_account",
            "audience": "//iam.googleapis.com/locations/global/workforcePools/p/providers/p",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{self._server.url}/token",
            "credential_source": {"file": str(folder / "subject")},
        }
        (folder / "credentials.json").write_text(json.dumps(fields))
        return str(folder / "credentials.json")


ISSUED = {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}


def three_to_do(rig: Rig) -> None:
    """Three files to upload, and a field to set for each."""
    for key in (KEY, COSPLAY, OTHER):
        rig.file(key)
    rig.record("rem", titled(anime_image=windows(KEY)))
    rig.record("mei")


def test_a_token_that_expires_in_the_middle_is_fetched_anew_once(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(rig, tmp_path, monkeypatch)
    three_to_do(rig)
    plan = rig.plan()
    before = tokens.given
    rig.wire(path=UPLOAD, run=tokens.expire, status=503)
    report = rig.apply(plan, concurrency=1)
    assert (report.status, report.counts.applied) == (Status.SUCCESS, 6)
    assert tokens.given == before + 2
    assert [rig.generations(key) for key in (KEY, COSPLAY, OTHER)] == [1, 1, 1]


def test_credentials_that_end_in_the_middle_fail_what_is_left_and_the_report_is_whole(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(rig, tmp_path, monkeypatch)
    three_to_do(rig)
    plan = rig.plan()
    first: list[Call] = []
    rig.wire(path="/storage/", when=lambda call: bool(first or first.append(call)), status=401, times=FOREVER)
    report = rig.apply(plan, concurrency=1)
    uploads = [each for each in report.outcomes if each.kind == "upload"]
    assert [each.outcome for each in uploads] == [APPLIED, FAILED, FAILED]
    assert len(report.outcomes) == len(plan.actions) == 6
    assert all("gcloud auth application-default login" in str(each.error) for each in failed(report))
    rig.quiet()
    tokens.install()
    assert rig.dangles() == []
    assert rig.apply().status is Status.SUCCESS
    assert rig.plan().actions == ()


# -- clocks -------------------------------------------------------------------------------------------------------

YEARS = {"1970": 1, "2000": 946_684_800, "2200": 7_258_118_400}


@pytest.mark.parametrize("at", YEARS.values(), ids=YEARS)
def test_a_clock_that_is_wrong_decides_nothing(rig: Rig, at: int) -> None:
    rig.file(KEY, b"same", at=at)
    rig.object(KEY, b"same")
    rig.file(COSPLAY, b"ours", at=at)
    rig.object(COSPLAY, b"theirs")
    rig.record("rem", titled(anime_image=rig.uri(KEY)))
    plan = rig.plan()
    assert [each.key for each in plan.actions] == []
    assert codes(plan).count("content_conflict") == 1
    rig.converges()
    assert rig.held() == {KEY: b"same", COSPLAY: b"theirs"}


# -- refusals for good --------------------------------------------------------------------------------------------

FINAL = {
    "hold": {"status": 403, "reason": "objectUnderActiveHold", "message": "is under active Temporary hold"},
    "retention": {"status": 403, "reason": "retentionPolicyNotMet", "message": "is subject to retention policy"},
    "key": {"status": 403, "reason": "forbidden", "message": "Permission denied on Cloud KMS key"},
    "key off": {"status": 400, "reason": "invalid", "message": "Cloud KMS key is disabled"},
    "requester pays": {"status": 400, "reason": "required", "message": "Bucket is a requester pays bucket"},
    "proxy": {"status": 407, "body": lambda: b"<html>\n<b>Proxy</b> Authentication Required</html>"},
}


@pytest.mark.parametrize("refusal", FINAL.values(), ids=FINAL)
def test_a_refusal_for_good_is_told_and_not_repeated(rig: Rig, refusal: dict[str, Any]) -> None:
    three_to_do(rig)
    rig.wire(path=UPLOAD, key=f"{PREFIX}/{OTHER}", times=FOREVER, **refusal)
    report = rig.apply()
    assert [(each.kind, each.key) for each in failed(report)] == [("upload", OTHER)]
    said = refusal.get("message", "Proxy")
    assert said in str(failed(report)[0].error)
    assert "\n" not in str(failed(report)[0].error)
    assert (report.counts.applied, report.counts.blocked, report.status) == (4, 1, Status.PARTIAL)
    assert len(rig.gcs.script.calls(path=UPLOAD, key=f"{PREFIX}/{OTHER}")) == 1
    assert results(rig.converges()) == [("upload", OTHER, APPLIED), ("set_field", OTHER, APPLIED)]


def test_an_object_under_a_hold_stays_until_it_is_released(rig: Rig) -> None:
    rig.replace = "local"
    rig.file(KEY, b"newer")
    rig.object(KEY, b"held", temporaryHold=True)
    report = rig.apply()
    assert by_kind(report) == [FAILED]
    assert "hold" in str(failed(report)[0].error)
    assert rig.held() == {KEY: b"held"}
    release(rig, KEY)
    assert by_kind(rig.converges()) == [APPLIED]
    assert rig.held() == {KEY: b"newer"}


def release(rig: Rig, key: str) -> None:
    """Somebody takes the hold away."""
    rig.gcs.world.patch(rig.shop.bucket, f"{PREFIX}/{key}", {"temporaryHold": False}, Preconditions())


def test_who_may_create_but_not_overwrite_creates(rig: Rig) -> None:
    rig.replace = "local"
    rig.file(KEY, b"newer")
    rig.object(KEY, b"older")
    rig.file(COSPLAY)
    rig.record("rem")
    may_not = {"status": 403, "reason": "forbidden", "message": "does not have storage.objects.delete access"}
    rig.wire(path=UPLOAD, when=lambda call: call.query.get("ifGenerationMatch") != "0", times=FOREVER, **may_not)
    report = rig.apply()
    assert {(each.kind, each.key): each.outcome for each in report.outcomes} == {
        ("replace", KEY): FAILED,
        ("upload", COSPLAY): APPLIED,
        ("set_field", KEY): BLOCKED,
        ("set_field", COSPLAY): APPLIED,
    }
    assert "roles/storage.objectUser" in str(failed(report)[0].error)
    rig.converges()
    assert rig.held() == {KEY: b"newer", COSPLAY: COSPLAY.encode()}


# -- a saved plan -------------------------------------------------------------------------------------------------


def test_a_plan_of_yesterday_does_what_still_holds_and_names_the_rest(rig: Rig) -> None:
    names = ("changed", "gone", "mended", "same", "theirs", "edited", "deleted", "quiet")
    keys = {name: f"characters/{name}.png" for name in names}
    for name, key in keys.items():
        rig.file(key)
        rig.record(name, titled(anime_image=windows(key)))
    saved = planfile.dumps(rig.plan())
    rig.file(keys["changed"], b"rendered again")
    (rig.root / keys["gone"]).unlink()
    rig.object(keys["same"])
    rig.object(keys["theirs"], b"theirs")
    rig.record("edited", titled(anime_image="https://example.com/x.png"))
    rig.record("mended", titled(anime_image=rig.uri(keys["mended"])))
    rig.hand.remove("deleted")

    report = rig.apply(planfile.loads(saved, "plan.json"))
    found = {(each.kind, str(each.key)): each.outcome for each in report.outcomes}
    uploads = {name: found["upload", key] for name, key in keys.items()}
    fields = {name: found["set_field", key] for name, key in keys.items()}
    assert uploads == {
        **dict.fromkeys(names, APPLIED),
        "changed": STALE,
        "gone": STALE,
        "same": ALREADY,
        "theirs": STALE,
    }
    assert fields == {
        **dict.fromkeys(("changed", "gone", "theirs"), BLOCKED),
        **dict.fromkeys(("edited", "deleted"), STALE),
        **dict.fromkeys(("same", "quiet"), APPLIED),
        "mended": ALREADY,
    }
    assert (report.status, report.exit_code) == (Status.STALE, 3)
    assert all(each.error for each in report.outcomes if each.outcome is STALE)
    assert rig.held()[keys["theirs"]] == b"theirs"
    assert rig.fields("deleted") is None
    rig.converges()
    again = rig.apply(planfile.loads(saved, "plan.json"))
    assert APPLIED not in by_kind(again)


# -- databases that disagree --------------------------------------------------------------------------------------


def test_where_two_databases_disagree_a_good_uri_stays_and_nothing_is_merged(furnished: Callable[..., Rig]) -> None:
    one, two = "dances/dance_rem_one.mp4", "dances/dance_rem_two.mp4"
    rig = furnished(rem={"name": "other", "assets": [titled(dance_video=windows(two)), titled("neon", mood="calm")]})
    for key in (one, two):
        rig.file(key)
        rig.object(key)
    rig.record("rem", titled(dance_video=rig.uri(one)))
    before = rig.world()
    assert [each for each in rig.plan().actions if isinstance(each, SetField)] == []
    rig.converges()
    assert rig.world() == before


# -- disks that are full ------------------------------------------------------------------------------------------

LIMITED = """
import os, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
os.execv(sys.executable, [sys.executable, "-m", "reconcile", *sys.argv[2:]])
"""


def limited(folder: Path, size: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the program where no file may grow past so many bytes."""
    # Python would leave its own half-written bytecode behind, for every later run to trip over.
    unwritten = {**environment(), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", LIMITED, str(size), *arguments]
    return subprocess.run(command, cwd=folder, env=unwritten, capture_output=True, text=True, timeout=60, check=False)


@posix_only
def test_a_plan_that_does_not_fit_on_the_disk_leaves_the_old_one_whole(tmp_path: Path) -> None:
    project = make_project(tmp_path / "studio")
    saved = project / "plan.json"
    old = b'{"format": "reconcile.plan/1", "of": "yesterday"}'
    saved.write_bytes(old)
    done = limited(project, 1000, "plan", "--quiet", "--out", "plan.json")
    assert (done.returncode, done.stdout) == (64, "")
    assert re.search(r"error: .*'plan\.json'.*: File too large", done.stderr)
    assert "Traceback" not in done.stderr
    assert saved.read_bytes() == old
    assert [each.name for each in project.iterdir() if each.name.endswith(".new")] == []


@posix_only
def test_a_run_that_cannot_be_written_down_says_so_before_it_changes_anything(tmp_path: Path) -> None:
    project = make_project(tmp_path / "studio")
    before = stores_of(project)
    done = limited(project, 100, "apply", "--yes", "--quiet")
    assert done.returncode == 1
    assert "error: the journal" in done.stderr
    assert "Traceback" not in done.stderr
    assert stores_of(project) == before


def stores_of(project: Path) -> dict[str, bytes]:
    """Every byte that the embedded stores hold."""
    return {str(path): path.read_bytes() for path in (project / "stores").rglob("*") if path.is_file()}


# -- forks --------------------------------------------------------------------------------------------------------

FORKED = """
import os, sys
from pathlib import Path
from reconcile import Project, apply, plan

def run(char_id):
    with Project.open(Path(sys.argv[1])).opened() as project:
        return apply(plan(project, char_ids=[char_id])).status.value

with Project.open(Path(sys.argv[1])).opened() as project:
    list(project.records.read()), list(project.objects.list())
    child = os.fork()
    if child == 0:
        os._exit(0 if run("mei") == "success" else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = [document.id for document in project.records.read()]
print(code, found, run("rem"))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_workflow_that_forks_with_open_stores_can_use_both_halves(rig: Rig) -> None:
    three_to_do(rig)
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(rig.folder)],
        env={**environment(), "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "0 ['mei', 'rem'] success\n", done.stderr
    assert rig.converges().outcomes == ()
