"""Sample media for the demo and the tests: a picture, a film and a piece of music, each with a label in it.

The same label always yields the same bytes, and another label different ones.
"""

from __future__ import annotations

import colorsys
import zlib
from functools import cache
from hashlib import blake2b
from importlib.resources import files

_COLOURS = 64


def png(label: int | str) -> bytes:
    """Returns a PNG of 96 by 96 pixels, in colours that depend on the label."""
    sample = sample_file("picture.png")
    at = sample.index(b"PLTE") - 4
    after = at + 12 + 3 * _COLOURS
    title = _chunk(b"tEXt", b"Title\0" + str(label).encode("latin-1", "replace") + _digest("png", label))
    return sample[:at] + title + _chunk(b"PLTE", _palette(label)) + sample[after:]


def mp4(label: int | str, size: int = 0) -> bytes:
    """Returns an MP4 of one second (H.264, 64 by 64 pixels), padded to ``size`` bytes if it is shorter."""
    sample = sample_file("film.mp4")
    text = f"{label} ".encode() + _digest("mp4", label)
    body = text.ljust(size - len(sample) - 8, b"\0")
    return sample + (8 + len(body)).to_bytes(4, "big") + b"free" + body


def mp3(label: int | str) -> bytes:
    """Returns an MP3 of one second (mono, 44.1 kHz, 32 kbit/s) after an ID3 tag with the label as its title."""
    text = b"\3" + f"{label} ".encode() + _digest("mp3", label)
    frame = b"TIT2" + _synchsafe(len(text)) + b"\0\0" + text
    return b"ID3\4\0\0" + _synchsafe(len(frame)) + frame + sample_file("music.mp3")


@cache
def sample_file(name: str) -> bytes:
    return (files("reconcile") / "samples" / name).read_bytes()


def _digest(kind: str, label: int | str) -> bytes:
    """Returns a digest of the label, which may not fit into a title. ``hash`` would differ from run to run."""
    return blake2b(f"{kind}:{label}".encode(), digest_size=8).hexdigest().encode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def _palette(label: int | str) -> bytes:
    """Returns colours between two hues that are a third of the circle apart; the label chooses the first."""
    start = int(_digest("hue", label), 16) % 256 / 256
    steps = (step / (_COLOURS - 1) for step in range(_COLOURS))
    colours = (colorsys.hsv_to_rgb((start + step / 3) % 1, 0.75 - 0.4 * step, 0.35 + 0.6 * step) for step in steps)
    return bytes(round(255 * part) for colour in colours for part in colour)


def _synchsafe(size: int) -> bytes:
    """Returns a size as ID3 writes it: seven bits in each byte."""
    return bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
