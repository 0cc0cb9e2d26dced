"""One plan applied by many: eight project folders at the same time, killed and started again, on real servers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconcile.adapters.state.journal import Journal
from reconcile.core.history import PastOutcome, past_run
from reconcile.core.plan import Scope
from reconcile.core.plandir import HEAD
from tests.kit import quick_start
from tests.kit.studio import Studio, build_studio
from tests.kit.workshop import PREFIX, Run, Workshop, environment, furnish, open_workshop, reconcile
from tests.servers.faults import FOREVER, Call, Fault
from tests.servers.firestore import FirestoreServer
from tests.servers.gcs import GcsServer

KILLED = (1, 4, 6)


@pytest.fixture
def gcs() -> Iterator[GcsServer]:
    with GcsServer() as server:
        yield server


@pytest.fixture
def shop(tmp_path: Path, gcs: GcsServer, firestore_server: FirestoreServer) -> Workshop:
    """The users' project, whose root every machine has mounted at the same place."""
    made = open_workshop(tmp_path / "project", gcs, firestore_server.address, local_db=False)
    rules = made.folder / "rules" / "asset_map.toml"
    rules.write_text(
        rules.read_text("utf-8").replace('root = "output"', f'root = "{(made.folder / "output").as_posix()}"')
    )
    return made


@pytest.fixture
def studio(shop: Workshop) -> Studio:
    made = build_studio(shop.folder, scale=0.15, bucket_uri=f"gs://{shop.bucket}/{PREFIX}")
    furnish(shop, made)
    return made


def machines(shop: Workshop, count: int) -> list[Path]:
    """Project folders of other machines: the same rules, and a memory of their own."""
    folders = [shop.folder.parent / f"machine{number}" for number in range(count)]
    for folder in folders:
        shutil.copytree(shop.folder / "rules", folder / "rules")
    return folders


def all_at_once(shop: Workshop, folders: list[Path], where: str, phase: str) -> None:
    """Every machine applies its shard of a phase. Some are killed, of the uploads while the bucket has a request in its
    hands, and started again."""
    count = len(folders)
    shares = [
        ("apply", where, "--shard", f"{n + 1}/{count}", "--phase", phase, "--yes", "--json") for n in range(count)
    ]
    running = [
        quick_start.start("reconcile", share, folder, environment())
        for folder, share in zip(folders, shares, strict=True)
    ]
    killed = [number for number in KILLED if number < count]
    if phase == "uploads":
        seen = threading.Event()
        shop.gcs.script.add(Fault(path=f"/upload/storage/v1/b/{shop.bucket}/o", skip=9, run=seen.set))
        assert seen.wait(60)
    for number in killed:
        running[number].kill()
    for number, process in enumerate(running):
        code, _, err = process.finish(120)
        if number in killed:
            done = reconcile(folders[number], *shares[number])
            code, err = done.code, done.err.encode()
        assert code == 0, err.decode()


def journaled(folder: Path) -> list[str]:
    """The ids of the changes that the runs of this folder made."""
    told = [past_run(past, Scope()) for past in Journal(folder).runs()]
    return [change.id for run in told for change in run.changes or () if change.outcome is PastOutcome.APPLIED]


@pytest.mark.parametrize(("count", "in_bucket"), [(8, False), (3, True)], ids=["folder", "bucket"])
def test_many_machines_apply_one_plan_at_once_and_each_change_is_made_once(
    shop: Workshop, studio: Studio, tmp_path: Path, count: int, *, in_bucket: bool
) -> None:
    before = dict(shop.objects())
    where = f"gs://{shop.bucket}/plans/tonight" if in_bucket else str(tmp_path / "tonight")
    planned = shop.run("plan", "--out", where, "--shards", str(count), "--json")
    assert planned.code == 0, planned.err
    plan: dict[str, Any] = planned.document
    folders = machines(shop, count)
    for phase in ("uploads", "records"):
        all_at_once(shop, folders, where, phase)

    again = shop.run("plan", "--json", "--detailed-exitcode")
    assert again.document["actions"] == []
    after = {key: held for key, held in shop.objects().items() if not key.startswith("plans/")}
    uploaded = [each["key"] for each in plan["actions"] if each["kind"] in ("upload", "copy")]
    assert set(after) == set(before) | set(uploaded)
    for key in uploaded:
        assert len(shop.gcs.world.generations(f"{PREFIX}/{key}")) == 1, key
    made = Counter(name for folder in folders for name in journaled(folder))
    assert set(made.values()) == {1}

    merged = shop.run("apply", where, "--merge-reports", "--json")
    assert merged.document["status"] == "success"
    assert [each["id"] for each in merged.document["outcomes"]] == [each["id"] for each in plan["actions"]]
    assert merged.document["findings"] == plan["findings"]


def test_a_shard_of_a_folder_that_is_not_whole_writes_nothing(shop: Workshop, studio: Studio, tmp_path: Path) -> None:
    where = tmp_path / "tonight"
    assert shop.run("plan", "--out", str(where), "--shards", "2").code == 0
    (where / "actions-1-0001.jsonl").unlink()
    before = shop.objects(), shop.records()
    done = shop.run("apply", str(where), "--shard", "1/2", "--yes")
    assert done.code == 64
    assert "actions-1-0001.jsonl is missing" in done.err
    assert (shop.objects(), shop.records()) == before


def test_limits_are_judged_by_the_whole_plan(shop: Workshop, studio: Studio, tmp_path: Path) -> None:
    where = tmp_path / "tonight"
    assert shop.run("plan", "--out", str(where), "--shards", "4").code == 0
    count = json.loads((where / HEAD).read_text("utf-8"))["limits"]["actions"]
    done = shop.run("apply", str(where), "--shard", "1/4", "--yes", "--max-actions", str(count - 1))
    assert done.code == 4
    assert f"{count} actions" in done.err
    assert shop.run("apply", str(where), "--shard", "1/4", "--phase", "uploads", "--max-actions", str(count)).code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--shard", "1/3"), "has 2 shards"),
        (("--shard", "3/2"), "is not I/N"),
        (("--shard", "first"), "is not I/N"),
        (("--shard", "1/2", "--char-id", "rem"), "its own scope"),
    ],
)
def test_what_names_no_shard_is_refused(
    shop: Workshop, studio: Studio, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    where = tmp_path / "tonight"
    assert shop.run("plan", "--out", str(where), "--shards", "2").code == 0
    done = shop.run("apply", str(where), *arguments)
    assert done.code == 64
    assert says in done.err


def test_counting_from_nought_or_from_one_names_the_same_shards(shop: Workshop, studio: Studio, tmp_path: Path) -> None:
    where = tmp_path / "tonight"
    assert shop.run("plan", "--out", str(where), "--shards", "2").code == 0
    last, nought = (shop.run("apply", str(where), "--shard", each, "-n", "--json").document for each in ("2/2", "0/2"))
    assert last == nought
    assert last["actions"]


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("gs://{bucket}", "holds the assets"),
        ("gs://{bucket}/anime_dance/plans", "among the assets"),
        ("gs://", "gs://"),
    ],
)
def test_a_folder_in_the_way_of_the_assets_is_refused(shop: Workshop, where: str, says: str) -> None:
    done = shop.run("plan", "--out", where.format(bucket=shop.bucket), "--shards", "2")
    assert done.code == 64
    assert says in done.err


def test_a_folder_below_the_root_is_refused_and_so_is_one_that_holds_something(
    shop: Workshop, studio: Studio, tmp_path: Path
) -> None:
    below = shop.run("plan", "--out", str(shop.folder / "output" / "plan"), "--shards", "2")
    assert below.code == 64
    assert not (shop.folder / "output" / "plan").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    full = shop.run("plan", "--out", str(tmp_path / "full"), "--shards", "2")
    assert full.code == 64
    assert "not empty" in full.err
    assert [each.name for each in (tmp_path / "full").iterdir()] == ["notes.txt"]


def own(folder: Path) -> tuple[str, str]:
    """The local root of a machine whose root has another path."""
    return "--local-root", str(folder / "output")


def test_each_machine_uploads_the_files_that_it_has(shop: Workshop, studio: Studio, tmp_path: Path) -> None:
    """Two machines have half of the characters' files each, and a third one plans and writes the records."""
    expected = shop.run("plan", "--json").document
    halves = [tmp_path / name for name in ("render-1", "render-2")]
    root = shop.folder / "output"
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    for number, folder in enumerate(halves):
        shutil.copytree(shop.folder / "rules", folder / "rules")
        for path in files[number::2]:
            (folder / "output" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / path, folder / "output" / path)
        scanned = reconcile(
            folder, "scan", "--out", str(tmp_path / f"scan-{number}"), "--name", folder.name, *own(folder)
        )
        assert scanned.code == 0, scanned.err
    shutil.rmtree(root)
    root.mkdir()

    scans = [part for number in (0, 1) for part in ("--files-from", str(tmp_path / f"scan-{number}"))]
    where = str(tmp_path / "plan")
    planned = shop.run("plan", *scans, "--out", where, "--shards", "2", "--json")
    assert planned.code == 0, planned.err
    assert [each["id"] for each in planned.document["actions"]] == [each["id"] for each in expected["actions"]]

    stranger = shop.run("apply", where, "--phase", "uploads", "--yes")
    assert stranger.code == 64
    assert "render-1, render-2" in stranger.err
    assert shop.run("show", where, "--json").document == planned.document
    for folder in halves:
        done = reconcile(folder, "apply", where, "--phase", "uploads", "--machine", folder.name, "--yes", *own(folder))
        assert done.code == 0, done.err
    assert shop.run("apply", where, "--phase", "records", "--yes").code == 0
    merged = shop.run("apply", where, "--merge-reports", "--json").document
    assert merged["status"] == "success"
    assert shop.run("plan", *scans, "--json").document["actions"] == []


@pytest.mark.parametrize("whole", [True, False])
def test_the_commands_of_a_fleets_job_do_the_whole_night(shop: Workshop, studio: Studio, whole: bool) -> None:
    """As Cloud Run would: a shell, the folder mounted, and variables for the plan, the phase and the task. A plan that
    is not complete, because a folder of the bucket may not be listed, is applied as far as it goes."""

    denied = f"{PREFIX}/remixes/"

    def forbidden(call: Call) -> bool:
        prefix = call.query.get("prefix", "")
        return call.method == "GET" and not call.key and (prefix.startswith(denied) or denied.startswith(prefix))

    made = shop.run("schedule", "cloud-run", "--shards", "3", "--json")
    assert made.code == 0, made.err
    files = {each["name"]: yaml.safe_load(each["text"]) for each in made.document["files"] if "yaml" in each["name"]}
    plan, share = (
        files[name]["spec"]["template"]["spec"]["template"]["spec"]["containers"][0]["args"][0]
        for name in ("reconcile-plan.yaml", "reconcile-apply.yaml")
    )
    steps = {name: step for each in files["reconcile-night.yaml"]["main"]["steps"] for name, step in each.items()}
    (told,) = steps["report"]["args"]["container"]["args"]

    def night(command: str, **variables: str) -> Run:
        here = {"PLAN": f"gs://{shop.bucket}/plans/night", "CLOUD_RUN_TASK_COUNT": "3", **variables}
        line = command.replace("/project", str(shop.folder)).replace("python -P", f"{sys.executable} -P")
        done = subprocess.run(["sh", "-c", line], env=environment(here), capture_output=True, timeout=120, check=False)
        return Run(done.returncode, done.stdout.decode(), done.stderr.decode())

    before = shop.objects()
    if not whole:
        shop.gcs.script.add(Fault(when=forbidden, status=403, reason="forbidden", times=FOREVER))
    planned = night(plan)
    assert planned.code == (0 if whole else 1), planned.err
    for phase in ("uploads", "records"):
        for task in ("2", "0", "1"):
            done = night(share, PHASE=phase, CLOUD_RUN_TASK_INDEX=task)
            assert done.code == (0 if whole else 1), done.err
    merged = night(told)
    assert merged.code in ((0, 6) if whole else (1,)), merged.err  # 6: findings that a person must look at remain
    again = shop.run("plan", "--json").document
    assert (again["actions"], again["complete"]) == ([], whole)
    assert len(shop.objects()) > len(before)
