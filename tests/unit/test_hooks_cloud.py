"""The hooks while the cloud is away, or another run is at work: an error, a warning, or a note for the next run."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconcile import Project, apply, plan
from reconcile.adapters.state.outbox import Outbox
from reconcile.config.environment import RULES
from reconcile.core.errors import LockHeld, ReconcileError
from reconcile.core.notes import Note
from reconcile.hooks import NotUploaded, auto_upload_to_gcs
from reconcile.hooks.errors import UPLOADING, HookOptions
from reconcile.hooks.wrapping import Wrapper
from tests.kit.workflows import BASE, Studio, about, queueing

# -- what to do where the cloud does not do its part --


def test_raise_has_what_the_function_returned(studio: Studio) -> None:
    studio.cut_off()
    made = studio.make("dances/dance_rem_1.mp4")
    with pytest.raises(ReconcileError) as caught:
        auto_upload_to_gcs()(lambda: (made, {"seed": 1}))()

    error = caught.value
    assert isinstance(error, NotUploaded)
    assert isinstance(error.__cause__, ReconcileError)
    assert (error.path, error.result, error.uris) == (made, (made, {"seed": 1}), {})
    assert made in str(error)
    assert studio.notes() == ()


def test_warn_warns_logs_and_gives_no_uri(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    studio.cut_off()
    made = studio.make("dances/dance_rem_1.mp4")
    with caplog.at_level(logging.WARNING), pytest.warns(UserWarning, match="was not uploaded") as caught:
        assert auto_upload_to_gcs(on_error="warn")(lambda: made)() == (made, None)

    assert caught[0].filename == __file__
    assert [record.name for record in caplog.records] == ["reconcile.hooks"]


def test_queue_notes_the_file_and_the_next_run_takes_it(studio: Studio) -> None:
    studio.cut_off()

    @queueing()
    def remix(char_id: str) -> tuple[str, int]:
        return studio.make("remixes/shared/x/REMIX_1.mp4"), 7

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert remix("rem") == (str(studio.folder / "output/remixes/shared/x/REMIX_1.mp4"), None, 7)
    assert studio.notes() == (Note("remixes/shared/x/REMIX_1.mp4", "rem"),)

    studio.mend()
    os.utime(studio.folder / "output/remixes/shared/x/REMIX_1.mp4", (1, 1))
    with Project.open(studio.folder).opened() as project:
        assert apply(plan(project, char_ids=["rem"])).exit_code == 0
    assert studio.entry("rem")["deliverable"] == f"{BASE}/remixes/shared/x/REMIX_1.mp4"
    with Project.open(studio.folder).opened() as project:
        again = plan(project, char_ids=["rem"])
        assert again.actions == ()
        assert len(studio.notes()) == 1, "a plan deletes nothing"
        apply(again)
    assert studio.notes() == ()


def test_the_next_call_for_the_same_character_takes_what_waits(studio: Studio) -> None:
    @queueing()
    def remix(char_id: str, number: int) -> str:
        return studio.make(f"remixes/shared/x/REMIX_{number}.mp4")

    studio.cut_off()
    remix("rem", 1)
    studio.mend()
    os.utime(studio.folder / "output/remixes/shared/x/REMIX_1.mp4", (1, 1))
    assert remix("rem", 2)[1] == f"{BASE}/remixes/shared/x/REMIX_2.mp4"
    assert {"remixes/shared/x/REMIX_1.mp4", "remixes/shared/x/REMIX_2.mp4"} <= studio.objects()


def test_where_all_went_well_nothing_stays_in_the_outbox(studio: Studio) -> None:
    dance = auto_upload_to_gcs(on_error="queue")(lambda char_id: studio.make(f"dances/dance_{char_id}_1.mp4"))
    assert dance("rem")[1] == f"{BASE}/dances/dance_rem_1.mp4"
    assert studio.notes() == ()


def test_a_cloud_that_failed_just_now_is_given_a_rest(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    dance = queueing(rest=3600.0)(lambda number: studio.make(f"dances/dance_rem_{number}.mp4"))
    studio.cut_off()
    assert dance(1)[1] is None
    studio.mend()
    before = studio.objects()
    assert dance(2)[1] is None
    assert studio.objects() == before
    assert [note.path for note in studio.notes()] == ["dances/dance_rem_1.mp4", "dances/dance_rem_2.mp4"]
    assert "a moment ago" in caplog.text

    rested = queueing(rest=0.0)(lambda: studio.make("dances/dance_rem_3.mp4"))
    assert rested()[1] is not None
    assert dance(4)[1] is not None  # it is known to be back


def test_a_call_that_the_rules_contradict_is_not_queued(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    wrong = auto_upload_to_gcs("anime_image", on_error="queue")(lambda: studio.make("dances/dance_rem_1.mp4"))
    assert wrong() == (str(studio.folder / "output/dances/dance_rem_1.mp4"), None)
    assert studio.notes() == ()
    assert "the decorator says" in caplog.text


def test_a_file_that_no_run_would_take_is_not_queued(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    rules = studio.folder / RULES
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace('ignore = ["*.tmp"', 'ignore = ["*nobody*", "*.tmp"'), encoding="utf-8")
    made = studio.make("dances/dance_nobody_1.mp4")
    assert queueing()(about(lambda: made))("nobody") == (made, None)
    assert studio.notes() == ()
    assert "names the character 'nobody' (`reconcile status --by character` lists them)" in caplog.text


def test_an_outbox_that_cannot_be_written_loses_nothing(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    (studio.folder / ".reconcile").write_text("a file in its place")
    made = studio.make("dances/dance_rem_1.mp4")
    assert queueing()(lambda: made)() == (made, None)
    assert "outbox" in caplog.text


def test_a_project_without_rules_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.mp4").write_bytes(b"x")
    with pytest.raises(NotUploaded, match="no rules file") as caught:
        auto_upload_to_gcs()(lambda: "x.mp4")()
    assert caught.value.exit_code == 78
    assert auto_upload_to_gcs(on_error="queue")(lambda: "x.mp4")() == ("x.mp4", None)


# -- another run --


def test_another_run_is_waited_for(studio: Studio) -> None:
    made = studio.make("dances/dance_rem_1.mp4")
    with Project.open(studio.folder).opened() as project, project.lock().acquire() as lock:
        timer = threading.Timer(0.3, lock.close)
        timer.start()
        assert auto_upload_to_gcs()(lambda: made)()[1] is not None
        timer.join()


def test_another_run_that_does_not_end_is_an_error_that_says_who(studio: Studio) -> None:
    made = studio.make("dances/dance_rem_1.mp4")
    options = HookOptions(UPLOADING, "raise", None, lock=0.05)
    with Project.open(studio.folder).opened() as project, project.lock().acquire():
        with pytest.raises(NotUploaded, match=f"process {os.getpid()}") as caught:
            Wrapper(lambda: made, options)()
        assert isinstance(caught.value.__cause__, LockHeld)
        assert queueing()(lambda: made)() == (made, None)
    assert [note.path for note in studio.notes()] == ["dances/dance_rem_1.mp4"]
    assert queueing(rest=3600.0)(lambda: made)()[1] is not None  # the cloud did not fail, so it needs no rest


def test_a_queued_call_waits_for_nothing_that_is_silent(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    made = studio.make("dances/dance_rem_1.mp4")
    with Project.open(studio.folder).opened() as project, project.lock().acquire():
        assert queueing(silence=0.1, lock=3600.0)(lambda: made)() == (made, None)
        assert [note.path for note in studio.notes()] == ["dances/dance_rem_1.mp4"]
    assert "nothing was heard" in caplog.text
    for thread in threading.enumerate():
        if thread.name == "reconcile-hand-over":
            thread.join(30)
            assert not thread.is_alive()


def test_calls_from_several_threads(studio: Studio) -> None:
    @auto_upload_to_gcs()
    def dance(char_id: str, number: int) -> str:
        return studio.make(f"dances/dance_{char_id}_{number}.mp4")

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(dance, ["rem", "ai_hoshino"] * 3, range(6)))
    assert {uri.removeprefix(f"{BASE}/") for _, uri in made} <= studio.objects()


def test_the_event_loop_goes_on_meanwhile(studio: Studio) -> None:
    @auto_upload_to_gcs()
    async def dance(char_id: str) -> str:
        return studio.make(f"dances/dance_{char_id}_1.mp4")

    async def main() -> tuple[str, str]:
        with Project.open(studio.folder).opened() as project:
            lock = project.lock().acquire()
            task = asyncio.create_task(dance("rem"))
            while not (studio.folder / "output/dances/dance_rem_1.mp4").exists():
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            lock.close()  # reached only where the call does not hold the loop while it waits for the lock
            return await asyncio.wait_for(task, 30)

    assert asyncio.run(main())[1] == f"{BASE}/dances/dance_rem_1.mp4"


# -- a cloud that failed once --


def test_a_failure_of_long_ago_shortens_no_patience(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    Outbox(studio.folder, lambda: time.time() - 86_400).failed()
    assert queueing(doubt=0.0)(lambda: studio.make("dances/dance_rem_1.mp4"))()[1] is not None


def test_a_failure_is_not_renewed_by_a_call_that_had_less_time(studio: Studio) -> None:
    made = studio.make("dances/dance_rem_1.mp4")
    marker = studio.folder / ".reconcile" / "outbox" / "failed"
    with Project.open(studio.folder).opened() as project, project.lock().acquire():
        project.outbox.failed()
        before = marker.read_bytes()
        assert queueing(doubt=0.05, lock=3600.0)(lambda: made)() == (made, None)
        assert marker.read_bytes() == before
    for thread in threading.enumerate():
        if thread.name == "reconcile-hand-over":
            thread.join(30)
    assert marker.read_bytes() == before
    assert queueing()(lambda: made)()[1] is not None
    assert not marker.exists()


def test_where_the_outbox_cannot_be_written_the_file_is_tried_all_the_same(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    (studio.folder / ".reconcile").mkdir()
    (studio.folder / ".reconcile" / "outbox").write_text("a file in its place")
    made = studio.make("dances/dance_rem_1.mp4")
    assert queueing()(lambda: made)() == (made, f"{BASE}/dances/dance_rem_1.mp4")
    assert "outbox" in caplog.text
