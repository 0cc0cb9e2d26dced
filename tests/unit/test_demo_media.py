"""The demo's media are what they say, by parsers of their own and, where it is installed, by ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconcile.demo_media import mp3, mp4, png

MAKERS: dict[str, Callable[[int | str], bytes]] = {
    "png": lambda seed: png(256, 384, seed),
    "mp4": mp4,
    "mp3": lambda seed: mp3(1.0, seed),
}
CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf"}
BITRATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # kbit/s, MPEG-1 layer III


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """PNG chunks, their CRCs checked."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + size]
        assert int.from_bytes(data[at + 8 + size : at + 12 + size], "big") == zlib.crc32(body)
        yield body[:4], body[4:]
        at += 12 + size
    assert at == len(data)


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """MP4 boxes at any depth: kind, and where the body starts and ends in the file."""
    at = start
    while at < end:
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        assert 8 <= size <= end - at
        yield kind, at + 8, at + size
        if kind in CONTAINERS:
            yield from boxes(data, at + 8, at + size)
        at += size
    assert at == end


def numbers(data: bytes, start: int, count: int) -> list[int]:
    return [int.from_bytes(data[at : at + 4], "big") for at in range(start, start + 4 * count, 4)]


def frames(data: bytes) -> Iterator[bytes]:
    """MPEG audio frames after the ID3 tag, to the last byte."""
    assert data[:3] == b"ID3"
    at = 10 + sum(part << shift for part, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
    while at < len(data):
        head = int.from_bytes(data[at : at + 4], "big")
        assert head >> 16 == 0xFFFB, f"no frame header at {at}"
        size = 144_000 * BITRATES[head >> 12 & 15] // 44_100 + (head >> 9 & 1)
        yield data[at : at + size]
        at += size
    assert at == len(data)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_seed_gives_the_same_bytes_and_another_seed_others(kind: str) -> None:
    make = MAKERS[kind]
    made = {make(seed) for seed in [*range(50), "レム", "a/b [kpop].mp4"]}
    assert len(made) == 52
    assert make("レム") in made
    assert all(1000 <= len(data) <= 8192 for data in made)


def test_seeds_of_one_spelling_are_one_seed() -> None:
    assert mp3(0.5, 7) == mp3(0.5, "7")


@pytest.mark.parametrize(("width", "height"), [(1, 1), (96, 128), (257, 3)])
def test_png_has_sound_chunks_and_the_size_it_says(width: int, height: int) -> None:
    found = list(chunks(png(width, height, "レム")))
    assert [kind for kind, _ in found] == [b"IHDR", b"PLTE", b"tEXt", b"tEXt", b"IDAT", b"IEND"]
    body = dict(found)
    assert body[b"IHDR"] == width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 3, 0, 0, 0))
    assert len(body[b"PLTE"]) == 3 * 64
    pixels = zlib.decompress(body[b"IDAT"])
    assert len(pixels) == height * (width + 1)
    assert set(pixels[:: width + 1]) == {0}
    assert max(pixels) < 64


@pytest.mark.parametrize("hint", [0, 8192, 40_000, 200_000])
def test_mp4_sample_table_points_at_nal_units_in_mdat(hint: int) -> None:
    data = mp4("rem", hint)
    found = {kind: (start, end) for kind, start, end in boxes(data, 0, len(data))}
    assert data[4:8] == b"ftyp"
    assert found.keys() >= {b"mvhd", b"tkhd", b"mdhd", b"hdlr", b"vmhd", b"dref", b"stts", b"stss", b"stsc"}
    count = numbers(data, found[b"stsz"][0] + 8, 1)[0]
    sizes = numbers(data, found[b"stsz"][0] + 12, count)
    (at,) = numbers(data, found[b"stco"][0] + 8, 1)
    start, end = found[b"mdat"]
    assert (at, at + sum(sizes)) == (start, end)
    keys = numbers(data, found[b"stss"][0] + 8, count // 12)
    for number, size in enumerate(sizes, 1):
        assert numbers(data, at, 1) == [size - 4]
        assert data[at + 4] & 31 == (5 if number in keys else 1)
        assert not any(code in data[at + 4 : at + size] for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))
        at += size


@pytest.mark.parametrize("hint", [8192, 40_000, 3 << 20])
def test_mp4_comes_near_the_size_asked_for(hint: int) -> None:
    assert abs(len(mp4(1, hint)) - hint) < 5000 + hint // 100


def test_mp4_for_less_than_a_second_is_a_second() -> None:
    assert mp4(1, 0) == mp4(1, 4096)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 3.0])
def test_mp3_frames_chain_to_the_end_and_last_as_long_as_asked(seconds: float) -> None:
    found = list(frames(mp3(seconds, "レム")))
    assert len(found) == max(1, round(seconds * 44_100 / 1152))
    assert sum(map(len, found)) == pytest.approx(len(found) * 144 * 32_000 / 44_100, abs=1)
    for frame in found:
        side = int.from_bytes(frame[4:21], "big")
        granules = (side >> 106 & 0xFFF, side >> 47 & 0xFFF)
        assert all(granules)
        assert sum(granules) <= 8 * (len(frame) - 21)


@pytest.mark.skipif(not (shutil.which("ffprobe") and shutil.which("ffmpeg")), reason="ffmpeg is not installed")
@pytest.mark.parametrize(("kind", "codec"), [("png", "png"), ("mp4", "h264"), ("mp3", "mp3")])
def test_ffmpeg_decodes_it_without_a_word(kind: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / f"sample.{kind}"
    path.write_bytes(MAKERS[kind]("レム"))
    probe = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", str(path)]
    decode = ["ffmpeg", "-v", "error", "-xerror", "-i", str(path), "-f", "null", "-"]
    seen = subprocess.run(probe, capture_output=True, text=True, check=True, timeout=60)
    assert (seen.stdout.strip(), seen.stderr) == (codec, "")
    assert subprocess.run(decode, capture_output=True, text=True, check=True, timeout=60).stderr == ""
