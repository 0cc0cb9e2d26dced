"""Limits on what is sent a second: rates and timetables as people write them, and what they let through."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable

import pytest
from crc32c import crc32c

from reconcile.adapters.gcs.store import GcsObjectStore
from reconcile.adapters.gcs.upload import CHUNK
from reconcile.adapters.lanes import limited
from reconcile.core.bandwidth import BURST, DAY, LONGEST, Bucket, Timetable, parse_timetable
from reconcile.core.digest import encode_crc32c
from reconcile.ports import DesiredObject
from tests.servers.clock import SkippingClock
from tests.servers.faults import Fault
from tests.servers.gcs import GcsServer

KIB, MIB = 1024, 1024 * 1024
MONDAY, TUESDAY, SATURDAY, SUNDAY = 0, 1, 5, 6


def at(day: int, hour: int, minute: int = 0) -> int:
    return day * DAY + hour * 60 + minute


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10M", 10 * MIB),
        ("512k", 512 * KIB),
        ("512", 512 * KIB),
        ("1.5M", 1.5 * MIB),
        ("10MiB", 10 * MIB),
        ("10Mi", 10 * MIB),
        ("100b", 100),
        ("1G", 1024 * MIB),
        ("off", None),
        ("OFF", None),
        ("0", None),
        ("10M:100k", 10 * MIB),
        ("off:1M", None),
    ],
)
def test_one_rate_holds_all_week(text: str, rate: float | None) -> None:
    found = parse_timetable(text)
    assert {found.rate(minute) for minute in range(0, 7 * DAY, 30)} == {rate}


@pytest.mark.parametrize("between", [" ", ";", "; ", "  "])
def test_a_timetable_without_days_is_that_of_each_day(between: str) -> None:
    found = parse_timetable(between.join(["08:00,512k", "18:00,10M", "23:00,off"]))
    for day in range(7):
        assert found.rate(at(day, 0)) is None
        assert found.rate(at(day, 7, 59)) is None
        assert found.rate(at(day, 8)) == 512 * KIB
        assert found.rate(at(day, 17, 59)) == 512 * KIB
        assert found.rate(at(day, 18)) == 10 * MIB
        assert found.rate(at(day, 23)) is None


def test_a_timetable_of_the_week_begins_with_what_held_at_its_end() -> None:
    found = parse_timetable("Mon-00:00,512 Fri-23:59,10M Sat-10:00,1M sunday-20:00,off")
    assert found.rate(at(MONDAY, 0)) == found.rate(at(4, 23, 58)) == 512 * KIB
    assert found.rate(at(4, 23, 59)) == found.rate(at(SATURDAY, 9, 59)) == 10 * MIB
    assert found.rate(at(SATURDAY, 10)) == found.rate(at(SUNDAY, 19)) == MIB
    assert found.rate(at(SUNDAY, 20)) is None
    later = parse_timetable("Tue-12:00,1M Wed-12:00,off")
    assert later.rate(at(MONDAY, 0)) is None
    assert later.rate(at(TUESDAY, 12)) == MIB


def test_a_day_of_its_own_counts_over_every_day_if_it_comes_later() -> None:
    found = parse_timetable("08:00,1M Sat-08:00,off")
    assert found.rate(at(MONDAY, 9)) == MIB
    assert found.rate(at(SATURDAY, 9)) is None
    assert found.rate(at(SUNDAY, 9)) == MIB


def test_the_order_in_which_times_are_written_does_not_matter() -> None:
    assert parse_timetable("18:00,10M 08:00,512k") == parse_timetable("08:00,512k 18:00,10M")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is empty"),
        (" ; ", "it is empty"),
        ("fast", "'fast' is not a rate"),
        ("10MB", "'10MB' is not a rate"),
        ("10M/s", "'10M/s' is not a rate"),
        ("-1", "'-1' is not a rate"),
        ("1e3", "'1e3' is not a rate"),
        ("10i", "'10i' is not a rate"),
        ("٣M", "'٣M' is not a rate"),
        ("99999999P", "'99999999P' is not a rate"),
        ("10M:fast", "'fast' in '10M:fast' is not a rate"),
        ("08:00,512k 18:00,quick", "'quick' in '18:00,quick' is not a rate"),
        ("08:00,512k 18:00,", "'' in '18:00,' is not a rate"),
        ("08:00,1M,2M", "'1M,2M' in '08:00,1M,2M' is not a rate"),
        ("08:00,512k 10M", "'10M' is not TIME,RATE"),
        ("10 M", "'10' is not TIME,RATE"),
        ("8:00,1M", "'8:00' in '8:00,1M' is not a time"),
        ("24:00,1M", "'24:00' in '24:00,1M' is not a time"),
        ("08:60,1M", "'08:60' in '08:60,1M' is not a time"),
        ("Mon-08:00-09:00,1M", "'Mon-08:00-09:00' in"),
        ("Mo-08:00,1M", "'Mo' in 'Mo-08:00,1M' is not a day of the week"),
        ("08:00,1M Montag-08:00,2M", "'Montag' in 'Montag-08:00,2M' is not a day"),
    ],
)
def test_what_is_wrong_is_named_with_its_entry(text: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_timetable(text)
    assert says in str(caught.value)


def test_a_bucket_lets_the_rate_through_and_no_more() -> None:
    bucket, now, sent = Bucket(0.0), 0.0, 0
    while now < 60:
        pause = bucket.take(64 * KIB, now, MIB)
        now += pause
        sent += 0 if pause else 64 * KIB
    assert 0.98 * 60 * MIB < sent <= 60 * MIB + 64 * KIB + BURST * MIB


def test_a_lull_is_not_made_up_for() -> None:
    bucket = Bucket(0.0)
    bucket.take(1, 0.0, MIB)
    taken = 0
    while not bucket.take(64 * KIB, 1000.0, MIB):
        taken += 64 * KIB
    assert taken <= BURST * MIB + 64 * KIB


def test_no_limit_is_no_wait_and_no_debt() -> None:
    bucket = Bucket(0.0)
    assert bucket.take(MIB, 0.0, 1.0) == 0
    assert bucket.take(MIB, 0.0, 1.0) == LONGEST
    assert [bucket.take(MIB, 0.0, None) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(MIB, 0.0, 1.0) == 0


def test_a_clock_that_stands_still_is_waited_for_a_little_at_a_time() -> None:
    bucket = Bucket(5.0)
    bucket.take(1, 5.0, 1e12)
    assert bucket.take(1, 4.0, 1e12) > 0


class Week(SkippingClock):
    """A clock of seconds since Monday 00:00 of a week."""

    def local(self) -> time.struct_time:
        return time.gmtime(4 * 86400 + self.now)  # the epoch was a Thursday


def test_the_rate_changes_at_its_minute_for_those_too_who_wait() -> None:
    clock = Week()
    clock.now = 7 * 3600 + 59 * 60
    wait = limited(parse_timetable("00:00,1k 08:00,off"), clock, clock.local)
    wait(MIB)
    wait(1)
    assert 0 <= clock.now - 8 * 3600 <= LONGEST
    for _ in range(1000):
        wait(MIB)
    assert clock.now - 8 * 3600 <= LONGEST


def test_all_threads_together_keep_the_rate() -> None:
    clock = Week()
    wait = limited(parse_timetable("1M"), clock, clock.local)

    def send() -> None:
        for _ in range(16):
            wait(64 * KIB)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.now == pytest.approx(8, rel=0.03)


def put(server: GcsServer, data: bytes, pace: Callable[[int], None], clock: SkippingClock) -> None:
    with GcsObjectStore("b", "", server.url, clock=clock, pace=pace) as store:
        store.put(DesiredObject("a.mp4", len(data), encode_crc32c(crc32c(data)), "video/mp4", 0), io.BytesIO(data))
        assert server.world.objects("b")["a.mp4"].data == data


@pytest.mark.parametrize("size", [0, 1000, MIB, CHUNK + MIB])
def test_each_byte_that_is_sent_waits_for_its_turn_once(server: GcsServer, size: int) -> None:
    paced: list[int] = []
    put(server, bytes(size), paced.append, SkippingClock())
    assert sum(paced) == size


def test_what_is_sent_again_waits_again_and_what_is_only_hashed_does_not(server: GcsServer) -> None:
    paced: list[int] = []
    server.script.add(Fault(method="PUT", skip=1, status=503))
    put(server, bytes(CHUNK + MIB), paced.append, SkippingClock())
    assert sum(paced) == CHUNK + 2 * MIB


def test_a_large_upload_takes_as_long_as_its_rate_says(server: GcsServer) -> None:
    clock = Week()
    put(server, bytes(CHUNK + MIB), limited(Timetable(((0, MIB),)), clock, clock.local), clock)
    assert clock.now == pytest.approx(9, rel=0.03)
