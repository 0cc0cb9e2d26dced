"""Decorated functions while a program ends: in threads that outlive the main one, in ``atexit``, having given up."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconcile.adapters.state.outbox import Outbox
from reconcile.config.environment import RULES
from tests.kit.workflows import BASE, Studio

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 5.0
"""Seconds that a program may take to end: the clients wait twice as long and more for a server that is silent."""

PROGRAM = """
import atexit, json, sys, threading
folder, on_error, when, before = json.loads(sys.argv[1])
sys.path.insert(0, {root!r})
from reconcile.hooks import auto_upload_to_gcs, sync_upsert, update_firestore_gcs_path
from tests.kit.workflows import Studio
from pathlib import Path
studio = Studio(Path(folder))

@auto_upload_to_gcs(on_error=on_error)
def remix(char_id, number):
    return studio.make("remixes/shared/x/REMIX_%s.mp4" % number)

@sync_upsert(on_error=on_error)
def upsert(char_id, asset):
    pass

def late():
    threading.main_thread().join()
    work()

def work():
    print(json.dumps(remix("rem", 1)), flush=True)

{body}
if before == "called":
    remix("rem", 0)
elif before == "imported":
    import concurrent.futures.thread
if when == "thread":
    threading.Thread(target=late).start()
else:
    atexit.register(work)
if before == "no thread":  # as Python 3.12 and newer are in an atexit function
    def refuse(*arguments, **options): raise RuntimeError("can't start new thread at interpreter shutdown")
    names = ("_start_new_thread", "_start_joinable_thread")
    atexit.register(lambda: [setattr(threading, name, refuse) for name in names])
"""


def run(
    studio: Studio, on_error: str = "queue", when: str = "atexit", before: str = "", body: str = ""
) -> tuple[list[Any], str]:
    """What such a program printed, a JSON document a line, and what it said."""
    given = json.dumps([str(studio.folder), on_error, when, before])
    code = PROGRAM.format(root=str(ROOT), body=body)
    done = subprocess.run(
        [sys.executable, "-c", code, given], capture_output=True, text=True, timeout=120, check=False, cwd=studio.folder
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.parametrize("before", ["", "called", "imported", "no thread"])
@pytest.mark.parametrize("when", ["thread", "atexit"])
@pytest.mark.parametrize("on_error", ["raise", "queue"])
def test_a_call_at_the_end_of_the_program_is_uploaded(studio: Studio, on_error: str, when: str, before: str) -> None:
    printed, said = run(studio, on_error, when, before)

    path = "remixes/shared/x/REMIX_1.mp4"
    assert printed == [[str(studio.folder / "output" / path), f"{BASE}/{path}"]], said
    assert said == ""
    assert studio.entry("rem")["deliverable"].startswith(f"{BASE}/remixes/shared/x/REMIX_")
    assert path in studio.objects()
    assert studio.notes() == ()


@pytest.mark.parametrize("when", ["thread", "atexit"])
def test_a_call_at_the_end_of_the_program_is_noted_where_the_cloud_is_away(studio: Studio, when: str) -> None:
    studio.cut_off()
    printed, said = run(studio, when=when)
    assert printed == [[str(studio.folder / "output/remixes/shared/x/REMIX_1.mp4"), None]]
    assert "was not uploaded" in said
    studio.mend()
    assert [(note.path, note.char_id) for note in studio.notes()] == [("remixes/shared/x/REMIX_1.mp4", "rem")]


def test_why_another_process_did_not_hand_a_file_over_is_told(studio: Studio) -> None:
    Outbox(studio.folder).failed()
    assert "the cloud failed a moment ago (it waits in the outbox" in run(studio, before="no thread")[1]
    assert [note.path for note in studio.notes()] == ["remixes/shared/x/REMIX_1.mp4"]


@pytest.mark.parametrize("on_error", ["raise", "queue"])
@pytest.mark.parametrize("body", ["sys.frozen = True", "sys.executable = '/usr/bin/blender'", "sys.executable = None"])
def test_where_no_process_can_be_started_either_the_file_is_noted(studio: Studio, on_error: str, body: str) -> None:
    printed, said = run(studio, on_error, body=body)
    assert "no other could be started" in said
    made = str(studio.folder / "output/remixes/shared/x/REMIX_1.mp4")
    assert printed == ([] if on_error == "raise" else [[made, None]])
    assert [(note.path, note.char_id) for note in studio.notes()] == [("remixes/shared/x/REMIX_1.mp4", "rem")]


def test_an_upsert_at_the_end_of_the_program_sets_its_field(studio: Studio) -> None:
    body = """
def work():
    asset = {"title": "primary", "poster": studio.make("characters/rem_cosplay.png"), "lock": threading.Lock()}
    upsert("rem", asset)
"""
    assert run(studio, "raise", body=body) == ([], "")
    assert studio.entry("rem")["poster"] == f"{BASE}/characters/rem_cosplay.png"


def test_an_upsert_at_the_end_of_the_program_that_fails_says_once_what_to_do(studio: Studio) -> None:
    body = """
def work():
    asset = {"title": "primary", "poster": studio.make("characters/rem_cosplay.png")}
    try:
        upsert("rem", asset)
    except Exception as error:
        print(json.dumps([error.path == asset["poster"], error.hint.count("call the upsert again")]), flush=True)
"""
    studio.cut_off()
    assert run(studio, "raise", body=body)[0] == [[True, 1]]


def test_a_field_can_be_set_at_the_end_of_the_program(studio: Studio) -> None:
    uri = f"{BASE}/characters/rem.png"
    body = f"""
def work():
    for _ in range(2):
        print(json.dumps(update_firestore_gcs_path("rem", "primary", "poster", {uri!r}, project=folder)), flush=True)
"""
    assert run(studio, body=body) == ([True, False], "")
    assert studio.entry("rem")["poster"] == uri


def test_a_wrong_call_at_the_end_of_the_program_says_what_is_wrong(studio: Studio) -> None:
    body = """
def work():
    try:
        auto_upload_to_gcs()(lambda char_id: studio.make("dances/dance_ai_hoshino_1.mp4"))("rem")
    except Exception as error:
        print(json.dumps([type(error).__name__, error.code, error.result == error.path]), flush=True)
"""
    assert run(studio, "raise", body=body) == ([["NotUploaded", "usage", True]], "")


def test_a_coroutine_at_the_end_of_the_program_is_uploaded(studio: Studio) -> None:
    body = """
import asyncio
async def later():
    return remix.__wrapped__("rem", 1)
def work():
    print(json.dumps(asyncio.run(auto_upload_to_gcs()(later)())), flush=True)
"""
    for when in ("thread", "atexit"):
        printed, said = run(studio, when=when, body=body)
        assert printed[0][1] == f"{BASE}/remixes/shared/x/REMIX_1.mp4", said


CANCELLED = """
import asyncio
@auto_upload_to_gcs(on_error=on_error)
async def later(char_id):
    return studio.make("remixes/shared/x/REMIX_1.mp4")
async def cancelled():
    task = asyncio.create_task(later("rem"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
asyncio.run(cancelled())
def work():
    pass
"""


@pytest.mark.parametrize("before", ["", "imported"])
@pytest.mark.parametrize("on_error", ["raise", "queue"])
def test_what_a_cancelled_coroutine_made_is_uploaded_although_the_program_ends(
    studio: Studio, on_error: str, before: str
) -> None:
    assert run(studio, on_error, before=before, body=CANCELLED)[0] == []
    assert "remixes/shared/x/REMIX_1.mp4" in studio.objects()
    assert studio.entry("rem")["deliverable"] == f"{BASE}/remixes/shared/x/REMIX_1.mp4"
    assert studio.notes() == ()


def test_what_a_cancelled_coroutine_made_is_noted_where_the_cloud_is_away(studio: Studio) -> None:
    studio.cut_off()
    run(studio, body=CANCELLED)
    studio.mend()
    assert [(note.path, note.char_id) for note in studio.notes()] == [("remixes/shared/x/REMIX_1.mp4", "rem")]


@pytest.mark.parametrize("on_error", ["warn", "queue"])
@pytest.mark.parametrize("before", ["", "called"])
def test_a_call_when_nothing_can_be_imported_any_more_gives_what_was_made(
    studio: Studio, on_error: str, before: str
) -> None:
    body = """
class Finished:
    def __del__(self): print(json.dumps(remix("rem", 1)), flush=True)
kept = Finished()
def work():
    pass
"""
    made = str(studio.folder / "output/remixes/shared/x/REMIX_1.mp4")
    printed, _ = run(studio, on_error, before=before, body=body)
    assert printed == [[made, None]]
    assert Path(made).is_file()


# -- a call that gave up --


@pytest.mark.parametrize("stores", ["bucket", "both"])
def test_a_queued_call_that_gave_up_does_not_keep_the_program_from_ending(studio: Studio, stores: str) -> None:
    rules = studio.folder / RULES
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from tests.kit.workflows import Studio, queueing
from pathlib import Path
studio = Studio(Path({str(studio.folder)!r}))
print(queueing(silence=0.5)(lambda: studio.make("dances/dance_rem_1.mp4"))()[1], flush=True)
"""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)  # takes every connection, and never answers
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        text = rules.read_text(encoding="utf-8")
        text = text.replace('endpoint = "file:stores"', f'endpoint = "http://{address}"', 1)
        if stores == "both":
            text = text.replace('endpoint = "file:stores"', f'endpoint = "{address}"', 1)
        rules.write_text(text, encoding="utf-8")
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline().strip() == b"None"
        child.communicate(timeout=LIMIT)
    assert child.returncode == 0
