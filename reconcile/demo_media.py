"""Makes small, real media files (PNG, MP4, MP3) for the demo and the tests, with the standard library alone.

The same arguments give the same bytes, and another seed gives other bytes. Each file carries its seed as its title.
"""

from __future__ import annotations

import colorsys
import math
import zlib
from collections.abc import Iterator, Sequence
from hashlib import blake2b

_TWO_PI = 2 * math.pi


def png(width: int, height: int, seed: int | str) -> bytes:
    """A PNG of wavy stripes in two colours that go over into one another, ``width`` by ``height`` pixels."""
    dice = _dice("png", seed)
    rows = _waves(width, height, dice)
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 3, 0, 0, 0))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", _palette(dice)),
            _chunk(b"tEXt", b"Title\0" + _title(seed).encode("latin-1", "replace")),
            _chunk(b"tEXt", b"Comment\0" + dice.hex().encode("ascii")),
            _chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 6)),
            _chunk(b"IEND", b""),
        )
    )


def mp4(seed: int | str, size_hint: int = 8192) -> bytes:
    """An MP4 with one H.264 track (constrained baseline, 64 by 64, 12 frames a second) of a moving pattern.

    It is about ``size_hint`` bytes long: as many whole seconds, of about 6 KiB each, as come nearest, but at least one.
    """
    dice = _dice("mp4", seed)
    scenes = max(1, round((size_hint - 1024) / _SCENE_BYTES))
    distinct = [_scene(dice, number) for number in range(min(scenes, _DISTINCT_SCENES))]
    samples = [sample for number in range(scenes) for sample in distinct[number % len(distinct)]]
    brand = _box(b"ftyp", b"isom" + _u32(512) + b"isomiso2avc1mp41")
    label = _box(b"free", f"{_title(seed)} {dice.hex()}".encode())
    offset = len(brand) + len(_movie(samples, 0)) + len(label) + 8
    return b"".join((brand, _movie(samples, offset), label, _box(b"mdat", b"".join(samples))))


def mp3(seconds: float, seed: int | str) -> bytes:
    """An MP3 of soft notes (MPEG-1 layer III, mono, 44.1 kHz, 32 kbit/s: 4,000 bytes a second) behind an ID3 tag."""
    dice = _dice("mp3", seed)
    count = max(1, round(seconds * _SAMPLE_RATE / _FRAME_SAMPLES))
    return _id3(f"{_title(seed)} {dice.hex()}") + b"".join(_frames(count, dice))


def _dice(kind: str, seed: int | str) -> bytes:
    """Sixteen bytes to choose by; a hash, because ``random`` may draw otherwise in another Python."""
    return blake2b(f"{kind}:{seed}".encode(), digest_size=16).digest()


def _title(seed: int | str) -> str:
    return f"Sample {seed}"


def _u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _waves(width: int, height: int, dice: bytes) -> Iterator[bytes]:
    """The rows of a pattern with values 0 to 63: one line of waves, moved along from row to row."""
    period = 32 + dice[0] % 64
    line = bytes(round(31.5 + 31.5 * math.sin(_TWO_PI * x / period)) for x in range(period))
    line *= width // period + 2
    sway, turns, slope = 4 + dice[1] % 24, 1 + dice[2] % 3, (dice[3] % 5 - 2) / 3
    for y in range(height):
        start = round(y * slope + sway * math.sin(_TWO_PI * turns * y / height)) % period
        yield line[start : start + width]


# --- PNG: 64 colours in a palette


def _chunk(kind: bytes, data: bytes) -> bytes:
    return _u32(len(data)) + kind + data + _u32(zlib.crc32(kind + data))


def _palette(dice: bytes) -> bytes:
    """64 colours between two hues that stand a third to a half of the circle apart."""
    start = dice[4] / 256
    way = 1 / 3 + dice[5] / 1536
    steps = (step / 63 for step in range(64))
    colours = (colorsys.hsv_to_rgb((start + way * step) % 1, 0.75 - 0.4 * step, 0.35 + 0.6 * step) for step in steps)
    return bytes(round(255 * part) for colour in colours for part in colour)


# --- MP4: a picture sent uncoded (I_PCM) opens each second, and eleven frames that only move it follow

_SIDE = 64  # pixels; four macroblocks of 16
_RATE = 12  # frames a second, and the timescale: each frame lasts one unit
_MACROBLOCKS = (_SIDE // 16) ** 2
_SCENE_BYTES = _MACROBLOCKS * 386 + (_RATE - 1) * 24
_DISTINCT_SCENES = 16


class _Bits:
    """Bits in the order in which H.264 and MPEG audio write them."""

    def __init__(self) -> None:
        self._text: list[str] = []

    def fixed(self, value: int, width: int) -> _Bits:
        self._text.append(format(value, f"0{width}b"))
        return self

    def ue(self, *values: int) -> _Bits:
        """Unsigned Exp-Golomb codes."""
        for value in values:
            digits = format(value + 1, "b")
            self._text.append("0" * (len(digits) - 1) + digits)
        return self

    def se(self, *values: int) -> _Bits:
        """Signed Exp-Golomb codes."""
        return self.ue(*(2 * value - 1 if value > 0 else -2 * value for value in values))

    def stop(self) -> _Bits:
        """The one bit that ends a NAL unit's payload."""
        return self.fixed(1, 1)

    def to_bytes(self, length: int | None = None) -> bytes:
        """The bits from the left, with zero bits up to ``length`` bytes or else to the next whole byte."""
        text = "".join(self._text)
        size = -(-len(text) // 8) if length is None else length
        return int("0" + text.ljust(8 * size, "0"), 2).to_bytes(size, "big")


def _nal(header: int, payload: bytes) -> bytes:
    """A NAL unit; three bytes that could be taken for a start code are kept apart by a 3."""
    escaped = bytearray()
    zeros = 0
    for byte in payload:
        if zeros >= 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes((header,)) + bytes(escaped)


def _sequence_parameters() -> bytes:
    bits = _Bits().fixed(66, 8).fixed(0xC0, 8).fixed(30, 8)  # constrained baseline, level 3.0
    bits.ue(0, 0, 2, 1).fixed(0, 1)  # set 0, 4-bit frame numbers, shown in coded order, one reference frame
    bits.ue(_SIDE // 16 - 1, _SIDE // 16 - 1).fixed(0b1100, 4)  # frames only, 8x8 inference, no cropping, no VUI
    return _nal(0x67, bits.stop().to_bytes())


def _picture_parameters() -> bytes:
    bits = _Bits().ue(0, 0).fixed(0, 2).ue(0, 0, 0).fixed(0, 3)  # CAVLC, one slice group, no weighting
    bits.se(0, 0, 0).fixed(0b100, 3)  # deblocking is set by the slice: the pattern stays sharp
    return _nal(0x68, bits.stop().to_bytes())


def _scene(dice: bytes, number: int) -> list[bytes]:
    """One second: the picture, then the frames that pan over it, each as an MP4 sample."""
    turn = blake2b(dice + _u32(number), digest_size=16).digest()
    there = (8 + turn[4] % 8, turn[5] % 17 - 8)  # quarter pixels
    moves = [there if frame <= _RATE // 2 else (-there[0], -there[1]) for frame in range(1, _RATE)]
    frames = [_intra(turn, number)] + [_pan(move, frame) for frame, move in enumerate(moves, 1)]
    return [_u32(len(frame)) + frame for frame in frames]


def _intra(dice: bytes, number: int) -> bytes:
    """A key frame of I_PCM macroblocks. Samples stay within 20 to 220, so no start code can arise among them."""
    luma = [bytes(20 + 3 * value for value in row) for row in _waves(_SIDE, _SIDE, dice)]
    blue = bytes((80 + dice[6] % 96,)) * 64
    red = bytes((80 + dice[7] % 96,)) * 64
    head = _Bits().ue(0, 7, 0).fixed(0, 4).ue(number % 2).fixed(0, 2).se(0).ue(1).ue(25)
    parts = [head.to_bytes()]
    for top in range(0, _SIDE, 16):
        for left in range(0, _SIDE, 16):
            parts += [row[left : left + 16] for row in luma[top : top + 16]]
            parts += [blue, red, b"\x0d\x00"]  # the next macroblock's type, 25 = I_PCM, and its alignment
    parts[-1] = b"\x80"
    return _nal(0x65, b"".join(parts))


def _pan(move: tuple[int, int], frame: int) -> bytes:
    """A frame that moves the one before. Only the first macroblock spells the vector: the others' prediction is it."""
    bits = _Bits().ue(0, 5, 0).fixed(frame % 16, 4).fixed(0, 3).se(0).ue(1)
    bits.ue(0, 0).se(*move).ue(0)
    for _ in range(_MACROBLOCKS - 1):
        bits.ue(0, 0).se(0, 0).ue(0)
    return _nal(0x41, bits.stop().to_bytes())


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return _u32(len(body) + 8) + kind + body


def _table(kind: bytes, rows: Sequence[bytes]) -> bytes:
    return _box(kind, _u32(0), _u32(len(rows)), *rows)


def _movie(samples: Sequence[bytes], offset: int) -> bytes:
    """The ``moov`` box; ``offset`` is where the first sample stands in the file, and the others follow on it."""
    duration = _u32(len(samples))
    matrix = b"".join(map(_u32, (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)))
    mvhd = _box(
        b"mvhd", bytes(12), _u32(_RATE), duration, _u32(0x10000), _u16(0x100), bytes(10), matrix, bytes(24), _u32(2)
    )
    tkhd = _box(
        b"tkhd", _u32(3), bytes(8), _u32(1), bytes(4), duration, bytes(16), matrix, _u32(_SIDE << 16), _u32(_SIDE << 16)
    )
    mdhd = _box(b"mdhd", bytes(12), _u32(_RATE), duration, _u16(0x55C4), bytes(2))
    hdlr = _box(b"hdlr", bytes(8), b"vide", bytes(12), b"Video\0")
    data = _box(b"dinf", _table(b"dref", [_box(b"url ", _u32(1))]))
    minf = _box(b"minf", _box(b"vmhd", _u32(1), bytes(8)), data, _sample_table(samples, offset))
    return _box(b"moov", mvhd, _box(b"trak", tkhd, _box(b"mdia", mdhd, hdlr, minf)))


def _sample_table(samples: Sequence[bytes], offset: int) -> bytes:
    sizes = [_u32(len(sample)) for sample in samples]
    keys = [_u32(number + 1) for number in range(0, len(samples), _RATE)]
    return _box(
        b"stbl",
        _table(b"stsd", [_avc1()]),
        _table(b"stts", [_u32(len(samples)) + _u32(1)]),
        _table(b"stss", keys),
        _table(b"stsc", [_u32(1) + _u32(len(samples)) + _u32(1)]),
        _box(b"stsz", _u32(0), _u32(0), _u32(len(sizes)), *sizes),
        _table(b"stco", [_u32(offset)]),
    )


def _avc1() -> bytes:
    """The sample entry: the picture's size, and the parameter sets that a decoder starts from."""
    sps, pps = _sequence_parameters(), _picture_parameters()
    sets = b"\xe1" + _u16(len(sps)) + sps + b"\x01" + _u16(len(pps)) + pps
    picture = _u16(_SIDE) * 2 + _u32(0x480000) * 2 + bytes(4) + _u16(1) + bytes(32) + _u16(24) + b"\xff\xff"
    return _box(b"avc1", bytes(6), _u16(1), bytes(16), picture, _box(b"avcC", b"\x01", sps[1:4], b"\xff", sets))


# --- MP3: each frame holds one spectral line, the note

_SAMPLE_RATE = 44_100
_FRAME_SAMPLES = 1152
_FRAME_BYTES = 104  # 144 * 32,000 / 44,100, without the padding byte
_LINES = (12, 14, 16, 18, 20, 24, 28, 32)  # of 38 Hz each: 460 to 1,220 Hz
_NOTE_FRAMES = 8  # a fifth of a second
_GAIN = 196  # 210 would be full scale, and 4 less is half as loud


def _id3(title: str) -> bytes:
    """An ID3v2.3 tag with the title; its size is written in 7 bits a byte, so that no frame header can arise."""
    text = b"\x01" + title.encode("utf-16")
    frame = b"TIT2" + _u32(len(text)) + bytes(2) + text
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frame


def _frames(count: int, dice: bytes) -> Iterator[bytes]:
    """``count`` frames. The padding byte comes in the rhythm that keeps the average at 32 kbit/s."""
    owed = 0
    for number in range(count):
        note = _LINES[dice[number // _NOTE_FRAMES % len(dice)] % len(_LINES)]
        owed += 144 * 32_000 % _SAMPLE_RATE
        padding, owed = (1, owed - _SAMPLE_RATE) if owed >= _SAMPLE_RATE else (0, owed)
        yield _frame(note, padding)


def _frame(line: int, padding: int) -> bytes:
    """A frame of two granules with a 1 at one spectral line, by Huffman table 1: pairs of 0 are "1", (1, 0) is "01"."""
    header = _Bits().fixed(0xFFFB, 16).fixed(1, 4).fixed(0, 2).fixed(padding, 1).fixed(0, 1).fixed(0b11, 2).fixed(0, 6)
    side = _Bits().fixed(0, 9 + 5 + 4)  # main data starts here; private bits; scale factors are not shared
    main = _Bits()
    pairs = line // 2 + 1
    for _ in range(2):
        main.fixed((1 << pairs - 1) - 1, pairs - 1).fixed(0b010, 3)
        side.fixed(pairs + 2, 12).fixed(pairs, 9).fixed(_GAIN, 8).fixed(0, 4)
        side.fixed(0, 1).fixed(1, 5).fixed(1, 5).fixed(1, 5).fixed(0, 4 + 3 + 3)
    return header.to_bytes() + side.to_bytes(17) + main.to_bytes(_FRAME_BYTES + padding - 21)
