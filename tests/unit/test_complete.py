"""Whether a media file has its end: whole files pass, and every beginning of one that is sure to lack it does not."""

from __future__ import annotations

import struct

import pytest

from reconcile.commands.demo_media import mp3, mp4, png
from reconcile.core.media_complete import missing_end

EOI = b"\xff\xd9"


def segment(kind: int, body: bytes) -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", 2 + len(body)) + body


def jpeg(scan: bytes = b"\x12\xff\x00\x34\xff\xd0\x56", preview: bytes = b"") -> bytes:
    """As a camera writes it: a preview with an end of its own in a segment, two scans, the end."""
    head = (
        b"\xff\xd8" + segment(0xE0, b"JFIF\x00") + segment(0xE1, b"Exif\x00\x00" + preview) + segment(0xDB, bytes(65))
    )
    return head + segment(0xC2, bytes(9)) + segment(0xDA, bytes(4)) + scan + segment(0xDA, bytes(4)) + scan + EOI


JPEG = jpeg(preview=b"\xff\xd8" + bytes(9) + EOI)
GIF = b"GIF89a" + struct.pack("<HHBBB", 2, 2, 0x80, 0, 0) + bytes(6)
PICTURE = b"\x2c" + bytes(9) + b"\x02" + b"\x03abc" + b"\x00"


def ebml(body: bytes, size: bytes) -> bytes:
    return b"\x1aE\xdf\xa3\x84webm\x18S\x80g" + size + body


def verdict(data: bytes, name: str = "x.bin") -> str | None:
    return missing_end(name, len(data), lambda offset, count: data[offset : offset + count])


def box(kind: bytes, body: bytes = b"", *, length: int | None = None) -> bytes:
    return struct.pack(">I4s", 8 + len(body) if length is None else length, kind) + body


def riff(kind: bytes, body: bytes, *, declared: int | None = None) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(body) if declared is None else declared) + kind + body


FTYP = box(b"ftyp", b"isom\x00\x00\x02\x00isom")
WHOLE = {
    "png": png(1),
    "png with something behind it": png(1) + b"a note",
    "mp4": mp4(1),
    "mp4, moov last": FTYP + box(b"free") + box(b"mdat", b"x" * 99) + box(b"moov", b"y" * 9),
    "mp4, moov first, data to the end": FTYP + box(b"moov", b"y") + box(b"mdat", b"x" * 99, length=0),
    "mp4, a box of 64 bits": FTYP + box(b"moov") + struct.pack(">I4sQ", 1, b"mdat", 16 + 5) + b"12345",
    **{
        f"mp4 with {name} behind it": mp4(1) + tail
        for name, tail in {
            "zeros": bytes(999),
            "a byte": b"x",
            "text": b"whatever it says",
            "a tag": b"TAG" + bytes(125),
        }.items()
    },
    "mp4 whose fragments come without a segment's type": FTYP + box(b"sidx") + box(b"moof") + box(b"mdat", b"x"),
    "quicktime": box(b"wide") + box(b"mdat", b"x" * 9) + box(b"moov"),
    "avif": FTYP + box(b"meta", b"m") + box(b"mdat", b"x"),
    "a segment": box(b"styp", b"msdh") + box(b"moof") + box(b"mdat"),
    "jpeg": JPEG,
    "jpeg with zeros behind it": JPEG + bytes(200_000),
    "jpeg with a film behind it": JPEG + FTYP + box(b"moov", bytes(200_000)) + box(b"mdat", b"x" * 99),
    "jpeg of a long scan": jpeg(b"\x12\xff\x00" * 60_000),
    "jpeg whose markers lie across blocks": jpeg(b"x" * (65_536 - 1)),
    "jpeg with bytes that fill the space before a marker": JPEG[:-2] + b"\xff\xff" + EOI,
    "jpeg-ls, whose scan holds small markers": jpeg(b"\x12\xff\x7f\xff\x01\x34"),
    "jpeg that cannot be followed": b"\xff\xd8\xff\xe0\x00\x00" + bytes(99),
    "gif": GIF + PICTURE + b";",
    "gif with an extension, two pictures and something behind it": GIF
    + b"\x21\xf9\x04abcd\x00"
    + 2 * PICTURE
    + b";odd",
    "gif without its last byte": GIF + PICTURE,
    "webp": riff(b"WEBP", b"VP8 1234"),
    "wav": riff(b"WAVE", b"fmt " + bytes(40)),
    **{
        f"wav of size {size:#x}": riff(b"WAVE", bytes(99), declared=size)
        for size in (0, 36, 0x7FFFF024, 0x80000024, 0xFFFFFFFF)
    },
    "avi out of a pipe": riff(b"AVI ", bytes(99), declared=0),
    "aiff": b"FORM" + struct.pack(">I", 4 + 9) + b"AIFF" + bytes(9),
    "aiff out of a pipe": b"FORM" + bytes(4) + b"AIFC" + bytes(99),
    "webm": ebml(b"12345", b"\x85"),
    "webm of an unknown size": ebml(bytes(99), b"\x01" + 7 * b"\xff"),
    "webm with something behind it": ebml(b"12345", b"\x85") + bytes(99),
    "riff without its last byte of padding": riff(b"WEBP", b"VP8 123", declared=12),
    "mp3": mp3(1),
    "mp3 with a tag": b"ID3\x03\x00\x00\x00\x00\x01\x00" + bytes(128) + mp3(1),
    "text": b"hello",
    "one byte": b"x",
    "what only begins like a box": b"\x00\x00\x00\x08abcd" + bytes(9),
}
CUT = {
    "png without its end": (png(1)[:-12], "has no IEND chunk"),
    "png within a chunk": (png(1)[:-13], "ends within its IDAT chunk"),
    "png with a hostile chunk": (b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 2**32 - 1, b"\x1b[2J"), "its last chunk"),
    "mp4 without moov": (FTYP + box(b"free") + box(b"mdat", b"x" * 99), "has no moov box"),
    "mp4 as a muxer leaves it": (FTYP + box(b"free") + box(b"mdat", b"x" * 99, length=0), "has no moov box"),
    "mp4 within its data": (FTYP + box(b"moov") + box(b"mdat", b"x" * 99)[:-1], "ends within its mdat box"),
    "mp4 within a header": (FTYP + b"\x00\x00\x00", "has no moov box"),
    "jpeg": (JPEG[:-2], "has no end-of-image marker"),
    "webp": (riff(b"WEBP", b"VP8 1234")[:-2], "has 18 of the 20 bytes"),
    "webp as it arrives": (riff(b"WEBP", bytes(99))[:50], "has 50 of the 111 bytes"),
    "wav": (riff(b"WAVE", bytes(99))[:50], "has 50 of the 111 bytes"),
    "aiff": (b"FORM" + struct.pack(">I", 99) + b"AIFF" + bytes(9), "has 21 of the 107 bytes"),
    "webm": (ebml(b"1234", b"\x85"), "has 18 of the 19 bytes"),
    "jpeg whose preview alone has its end": (JPEG[:-2] + bytes(9), "has no end-of-image marker"),
    "jpeg within a segment": (JPEG[:30], "has no end-of-image marker"),
    "jpeg filled up with zeros": (JPEG[:60] + bytes(200_000), "has no end-of-image marker"),
    "png filled up with zeros": (png(1)[:-12] + bytes(4096), "has no IEND chunk"),
    "mp4 without moov, filled up with zeros": (FTYP + box(b"mdat", b"x" * 99) + bytes(4096), "has no moov box"),
    "mp4 within its moov": (FTYP + box(b"mdat", b"x") + box(b"moov", b"y" * 9)[:-1], "ends within its moov box"),
    "gif within a picture": (GIF + PICTURE[:-3], "ends within a picture"),
    "gif within its colours": (GIF[:-1], "ends within a picture"),
    "gif without a picture": (GIF, "ends within a picture"),
    "mp3 within its tag": (b"ID3\x03\x00\x00\x00\x00\x01\x00" + bytes(99), "ends within its ID3 tag"),
    "nothing": (b"", "has no bytes"),
}


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE)
def test_what_is_whole_or_cannot_be_told_is_not_called_unfinished(data: bytes) -> None:
    assert verdict(data) is None


@pytest.mark.parametrize(("data", "reason"), CUT.values(), ids=CUT)
def test_what_lacks_its_end_is_told(data: bytes, reason: str) -> None:
    assert reason in str(verdict(data))


def test_a_png_is_unfinished_at_every_byte_before_its_end() -> None:
    whole = WHOLE["png"]
    assert [cut for cut in range(8, len(whole)) if verdict(whole[:cut]) is None] == []


def test_an_mp4_with_its_index_last_is_unfinished_at_every_byte_before_its_end() -> None:
    whole = WHOLE["mp4, moov last"]
    assert [cut for cut in range(8, len(whole)) if verdict(whole[:cut]) is None] == []


@pytest.mark.parametrize("name", ["a.png", "b.MP4", "c.d.wav"])
def test_a_file_that_was_only_reserved_is_unfinished(name: str) -> None:
    assert verdict(bytes(4096), name) == "begins with zeros"


def test_a_kind_that_may_begin_with_zeros_is_unfinished_if_it_is_nothing_else() -> None:
    assert verdict(bytes(200_000), "a.mp3") == "holds nothing but zeros"
    assert verdict(bytes(200_000) + b"\xff", "a.mp3") is None


def test_a_gif_is_unfinished_at_every_byte_before_its_last() -> None:
    whole = WHOLE["gif"]
    assert [cut for cut in range(8, len(whole)) if verdict(whole[:cut]) is None] == [len(whole) - 1]


def test_a_jpeg_is_unfinished_at_every_byte_before_its_end() -> None:
    assert [cut for cut in range(8, len(JPEG)) if verdict(JPEG[:cut]) is None] == []


def test_zeros_are_data_where_the_name_is_not_that_of_a_known_kind() -> None:
    assert verdict(bytes(4096), "raw.bin") is None


def test_the_content_decides_and_not_the_name() -> None:
    assert verdict(JPEG, "in_truth_a.png") is None
    assert verdict(JPEG[:-2], "in_truth_a.png") == "has no end-of-image marker"


def test_only_a_little_of_a_large_file_is_read() -> None:
    size, read = 10 * 2**30, 0
    header = FTYP + box(b"moov", b"y" * 100) + struct.pack(">I4sQ", 1, b"mdat", size - len(FTYP) - 108)

    def read_at(offset: int, count: int) -> bytes:
        nonlocal read
        read += count
        return header[offset : offset + count].ljust(min(count, size - offset), b"\0")

    assert missing_end("large.mp4", size, read_at) is None
    assert read < 1000


def test_a_file_of_endless_boxes_is_not_followed_for_ever() -> None:
    reads = 0

    def read_at(_offset: int, count: int) -> bytes:
        nonlocal reads
        reads += 1
        return box(b"free").ljust(count, b"\0")[:count]

    assert missing_end("odd.mp4", 2**60, read_at) is None
    assert reads <= 100_001
