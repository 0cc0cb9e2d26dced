"""The demo's media are what they say, by parsers of their own and, where it is installed, by ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconcile.commands.demo_media import mp3, mp4, png

MAKERS: dict[str, Callable[[int | str], bytes]] = {"png": png, "mp4": mp4, "mp3": mp3}
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
def test_a_label_gives_the_same_bytes_and_another_label_others(kind: str) -> None:
    make = MAKERS[kind]
    made = {make(label) for label in [*range(50), "レム", "リン", "a/b [kpop].mp4"]}
    assert len(made) == 53
    assert make("レム") in made
    assert make(7) == make("7")
    assert all(500 <= len(data) <= 8192 for data in made)


def test_a_picture_has_sound_chunks_in_their_order() -> None:
    found = list(chunks(png("レム")))
    assert [kind for kind, _ in found] == [b"IHDR", b"tEXt", b"PLTE", b"tEXt", b"tEXt", b"IDAT", b"IEND"]
    body = dict(found)
    assert body[b"IHDR"][:8] == (96).to_bytes(4, "big") * 2
    assert max(zlib.decompress(body[b"IDAT"])) < len(body[b"PLTE"]) // 3


def test_pictures_of_two_labels_have_other_colours() -> None:
    assert dict(chunks(png("rem")))[b"PLTE"] != dict(chunks(png("mei")))[b"PLTE"]


@pytest.mark.parametrize("size", [0, 8192, 3 << 20])
def test_a_film_is_a_chain_of_boxes_of_the_size_asked_for(size: int) -> None:
    data = mp4("rem", size)
    found = {kind: (start, end) for kind, start, end in boxes(data, 0, len(data))}
    assert found.keys() >= {b"ftyp", b"moov", b"mdat", b"free", b"stsz", b"stco"}
    assert len(data) == max(size, len(mp4("rem")))


def test_music_is_a_chain_of_frames_behind_its_tag() -> None:
    assert sum(map(len, frames(mp3("レム")))) == pytest.approx(4_000, abs=200)


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
