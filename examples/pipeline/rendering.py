"""Stands in for the models and for ffmpeg: files of a few bytes that are whole, and different for each text."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

OUTPUT = Path("output")


def render(path: str, what: str) -> str:
    """Writes the file below ``output/``, and gives its path."""
    file = OUTPUT / path
    file.parent.mkdir(parents=True, exist_ok=True)
    data = what.encode()
    if file.suffix == ".png":
        data = _picture(data)
    elif file.suffix == ".mp4":
        data = _box(b"ftyp", b"isom") + _box(b"moov", b"") + _box(b"mdat", data)
    file.write_bytes(data)
    return str(file)


def _picture(seed: bytes) -> bytes:
    """One pixel, of a colour that the seed gives."""
    colour = zlib.crc32(seed).to_bytes(4, "big")[:3]
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + colour)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + kind + data
