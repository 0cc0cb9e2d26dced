"""Decorated coroutine functions beside a program's other work: its threads, its cancellations, its forks."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from reconcile import Project
from reconcile.core.notes import Note
from reconcile.hooks import auto_upload_to_gcs, sync_upsert
from reconcile.hooks.aside import MOST
from reconcile.hooks.errors import UPLOADING, HookOptions
from reconcile.hooks.wrapping import Wrapper
from tests.kit.workflows import BASE, Studio

PATIENCE = 60.0


def dancing(studio: Studio, decorator: Callable[..., Any] | None = None) -> Any:
    async def dance(number: int) -> str:
        return studio.make(f"dances/dance_rem_{number}.mp4")

    return (decorator or auto_upload_to_gcs())(dance)


async def made(studio: Studio, *numbers: int) -> None:
    files = [studio.folder / f"output/dances/dance_rem_{number}.mp4" for number in numbers]
    while not all(file.exists() for file in files):
        await asyncio.sleep(0)


async def arrived(studio: Studio, path: str) -> None:
    while path not in studio.objects():
        await asyncio.sleep(0)


def aside() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("reconcile-aside")]


@pytest.mark.parametrize("calls", [12, MOST + 8])
def test_calls_that_wait_for_another_run_leave_the_programs_own_threads_alone(studio: Studio, calls: int) -> None:
    dance = dancing(studio)

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        with Project.open(studio.folder).opened() as project, project.lock().acquire():
            tasks = [asyncio.create_task(dance(number)) for number in range(calls)]
            await made(studio, *range(calls))
            assert await asyncio.to_thread(int, "7") == 7
            assert await loop.getaddrinfo("127.0.0.1", 80)
            assert len(aside()) <= MOST
        return await asyncio.gather(*tasks)

    answers = asyncio.run(asyncio.wait_for(main(), PATIENCE))
    assert [uri for _, uri in answers] == [f"{BASE}/dances/dance_rem_{number}.mp4" for number in range(calls)]


@pytest.mark.parametrize("kind", ["upload", "upsert"])
def test_a_cancelled_call_stops_waiting_at_once_and_its_file_arrives_all_the_same(studio: Studio, kind: str) -> None:
    async def upsert(number: int) -> None:
        path = studio.make(f"dances/dance_rem_{number}.mp4")
        await sync_upsert(upserted)("rem", {"title": "primary", "dance_video": path})

    async def upserted(char_id: str, asset: dict[str, Any]) -> None:
        return None

    dance = dancing(studio) if kind == "upload" else upsert

    async def main() -> None:
        with Project.open(studio.folder).opened() as project, project.lock().acquire():
            task = asyncio.create_task(dance(1))
            await made(studio, 1)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await arrived(studio, "dances/dance_rem_1.mp4")

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_what_goes_wrong_after_a_call_was_cancelled_is_told(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    options = HookOptions(UPLOADING, "raise", None, lock=0.3)
    dance = dancing(studio, partial(Wrapper, options=options))

    async def main() -> None:
        task = asyncio.create_task(dance(1))
        await made(studio, 1)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with Project.open(studio.folder).opened() as project, project.lock().acquire(), caplog.at_level(logging.WARNING):
        asyncio.run(main())
        deadline = time.monotonic() + PATIENCE
        while not caplog.records and time.monotonic() < deadline:
            os.sched_yield()
    assert "dance_rem_1.mp4 was not uploaded" in caplog.text


def test_a_queued_call_that_is_cancelled_has_noted_its_file(studio: Studio) -> None:
    options = HookOptions(UPLOADING, "queue", None, lock=PATIENCE, silence=PATIENCE)
    dance = dancing(studio, partial(Wrapper, options=options))

    async def main() -> None:
        with Project.open(studio.folder).opened() as project, project.lock().acquire():
            task = asyncio.create_task(dance(1))
            while not project.outbox.notes():
                await asyncio.sleep(0)
            task.cancel()
            assert project.outbox.notes() == (Note("dances/dance_rem_1.mp4"),)
        await arrived(studio, "dances/dance_rem_1.mp4")

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_a_coroutine_that_asyncio_does_not_drive_is_handed_over_all_the_same(studio: Studio) -> None:
    with pytest.raises(StopIteration) as ended:
        dancing(studio)(1).send(None)
    assert ended.value.value[1] == f"{BASE}/dances/dance_rem_1.mp4"


def test_the_context_of_the_call_is_that_of_its_hand_over(studio: Studio) -> None:
    take = contextvars.ContextVar("take", default=0)
    seen: list[int] = []

    def owner(arguments: Any) -> str:
        seen.append(take.get())
        return "rem"

    async def main() -> None:
        take.set(7)
        await dancing(studio, auto_upload_to_gcs(char_id=owner))(1)

    asyncio.run(main())
    assert seen == [7]


def test_loops_in_several_threads_and_one_after_the_other(studio: Studio) -> None:
    dance = dancing(studio)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda number: asyncio.run(dance(number)), range(6)))
    assert [uri for _, uri in answers] == [f"{BASE}/dances/dance_rem_{number}.mp4" for number in range(6)]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork there")
def test_a_fork_of_a_program_that_used_a_hook_has_threads_of_its_own(studio: Studio) -> None:
    dance = dancing(studio)
    assert asyncio.run(dance(0))[1]

    def work(number: int) -> None:
        asyncio.run(asyncio.wait_for(dance(number), PATIENCE))

    children = [multiprocessing.get_context("fork").Process(target=work, args=(number,)) for number in (1, 2)]
    for child in children:
        child.start()
    for child in children:
        child.join(2 * PATIENCE)
        assert child.exitcode == 0
    assert {f"dances/dance_rem_{number}.mp4" for number in range(3)} <= studio.objects()
