"""Limits the bytes per second, by one rate or a weekly timetable in rclone's notation.

Pure: ``Bucket`` gets the time (seconds of a monotonic clock), ``Timetable`` the minute of the week.
"""

from __future__ import annotations

import re
from itertools import chain

import msgspec

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAY = 24 * 60
LONGEST = 1.0
"""Seconds after which a waiting caller checks again: the timetable may have another rate by then."""
BURST = 0.1
"""Seconds whose bytes may be sent at once after a pause."""

_UNITS = "bkmgtp"
_RATE = re.compile(r"(\d+(?:\.\d+)?)(?:([bkmgtp])(?:ib?)?)?", re.IGNORECASE | re.ASCII)
_TIME = re.compile(r"(?:([A-Za-z]+)-)?(\d\d):(\d\d)", re.ASCII)
_LARGEST = 2**60


class Timetable(msgspec.Struct, frozen=True):
    """Rates with the times when they begin.

    ``slots`` are sorted pairs of a minute of the week, from Monday 00:00, and the bytes per second from then on (None
    for no limit). There is at least one; the last one continues into the next week.
    """

    slots: tuple[tuple[int, float | None], ...]

    def rate(self, minute: int) -> float | None:
        """Returns the bytes per second in this minute of the week, or None for no limit."""
        return next((rate for begin, rate in reversed(self.slots) if begin <= minute), self.slots[-1][1])


UNLIMITED = Timetable(((0, None),))


def parse_timetable(text: str) -> Timetable:
    """Parses ``10M``; ``08:00,512k 18:00,10M 23:00,off``; ``Mon-00:00,512k Fri-23:59,10M``.

    Entries are separated by spaces or semicolons; of two for one minute, the later one counts. A rate without a unit is
    in KiB; in ``UP:DOWN``, the second, for downloads, is ignored. Raises ValueError with a sentence for people that
    names the faulty piece.
    """
    pieces = [piece for piece in re.split(r"[ ;]+", text) if piece]
    if not pieces:
        raise ValueError("it is empty; write a rate, as 10M, or a timetable, as 08:00,512k 18:00,off")
    if len(pieces) == 1 and "," not in text:
        return Timetable(((0, _rate(pieces[0])),))
    return Timetable(tuple(sorted(dict(chain.from_iterable(map(_slots, pieces))).items())))


def _slots(piece: str) -> list[tuple[int, float | None]]:
    when, comma, rate = piece.partition(",")
    found = _TIME.fullmatch(when)
    if not comma:
        raise ValueError(f"{piece!r} is not TIME,RATE; write it as 08:00,512k or Mon-08:00,512k")
    if found is None or int(found[2]) > 23 or int(found[3]) > 59:
        raise ValueError(f"{when!r} in {piece!r} is not a time; write it as 08:00 or Mon-08:00")
    days = [number for number, day in enumerate(DAYS) if found[1] is None or found[1].lower() in (day, day[:3])]
    if not days:
        raise ValueError(f"{found[1]!r} in {piece!r} is not a day of the week; write it as Mon or Monday")
    minute, bytes_a_second = int(found[2]) * 60 + int(found[3]), _rate(rate, piece)
    return [(day * DAY + minute, bytes_a_second) for day in days]


def _rate(text: str, piece: str = "") -> float | None:
    up, colon, down = text.partition(":")
    if colon:
        _rate_of(down, piece or text)
    return _rate_of(up, piece or text)


def _rate_of(text: str, piece: str) -> float | None:
    if text.lower() == "off":
        return None
    found = _RATE.fullmatch(text)
    size = float(found[1]) * 1024 ** _UNITS.index((found[2] or "k").lower()) if found else 0.0
    if found is None or size > _LARGEST:
        where = "" if text == piece else f" in {piece!r}"
        raise ValueError(f"{text!r}{where} is not a rate; write it as 512k, 10M or 1.5G, bytes a second, or off")
    return size or None


class Bucket:
    """A token bucket: the bytes that may be sent by now.

    It fills at the rate, up to ``burst`` seconds' worth. A piece of any size may be taken unless the bucket is in debt,
    and the bytes that it lacks become the debt.
    """

    def __init__(self, now: float, *, burst: float = BURST) -> None:
        self._burst = burst
        self._level = 0.0
        self._since = now

    def take(self, size: int, now: float, rate: float | None) -> float:
        """Takes a piece of this size and returns 0, or returns the seconds to wait before the next attempt."""
        passed, self._since = max(0.0, now - self._since), now
        if rate is None:
            self._level = 0.0
            return 0.0
        self._level = min(self._level + passed * rate, self._burst * rate)
        if self._level < 0:
            return min(max(-self._level / rate, 0.001), LONGEST)
        self._level -= size
        return 0.0
