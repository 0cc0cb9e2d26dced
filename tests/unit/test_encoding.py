"""Packed bytes: unpacked in bounded memory, whole or not at all, and measured beside what is stored."""

from __future__ import annotations

import gzip
import random
import tracemalloc
from collections.abc import Iterator

import pytest

from reconcile.commands.measuring import Sum, content_from, measure
from reconcile.core.encoding import PIECE, BadEncoding, can_unpack, encoding_of, most_unpacked, unpacked
from tests.kit.fakes import digest

ENOUGH = 1 << 40
TEXT = b"".join(b"%d\n00:00:01,000 --> 00:00:02,000\nhello\n\n" % number for number in range(5000))


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def sum_of(data: bytes) -> Sum:
    return Sum(len(data), digest(data))


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
@pytest.mark.parametrize(
    ("packed", "plain"),
    [
        (gzip.compress(TEXT), TEXT),
        (gzip.compress(TEXT, 0), TEXT),
        (gzip.compress(b""), b""),
        (gzip.compress(TEXT) + gzip.compress(b"and more"), TEXT + b"and more"),
        (gzip.compress(b"a") + gzip.compress(b"") + gzip.compress(b"b") + bytes(512), b"ab"),
    ],
    ids=["one", "not squeezed", "nothing", "two members", "members and padding"],
)
def test_it_comes_out_as_it_went_in_however_it_is_cut(packed: bytes, plain: bytes, size: int) -> None:
    assert b"".join(unpacked(cut(packed, size), ENOUGH)) == plain


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"plain text",
        gzip.compress(TEXT)[:-1],
        gzip.compress(TEXT)[: len(gzip.compress(TEXT)) // 2],
        gzip.compress(TEXT)[:-8] + bytes(8),
        gzip.compress(TEXT) + b"garbage",
        gzip.compress(TEXT) + gzip.compress(TEXT)[:5],
        bytes(100),
    ],
    ids=["nothing", "plain", "cut", "cut in half", "another checksum", "garbage", "a torn member", "zeros"],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_what_is_not_whole_is_found_out(packed: bytes, size: int) -> None:
    with pytest.raises(BadEncoding, match="gzip data"):
        list(unpacked(cut(packed, size), ENOUGH))


def test_a_bomb_is_stopped_in_bounded_memory() -> None:
    bomb = gzip.compress(bytes(41 << 20))
    pieces: list[int] = []
    tracemalloc.start()
    with pytest.raises(BadEncoding, match="unpacks to more than"):
        pieces.extend(map(len, unpacked([bomb], 40 << 20)))
    assert max(pieces) <= PIECE
    assert sum(pieces) <= 40 << 20
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_a_text_that_packs_well_is_no_bomb() -> None:
    assert most_unpacked(len(gzip.compress(TEXT))) > len(TEXT)
    assert most_unpacked(1 << 30) == 100 << 30


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        (None, ""),
        ("", ""),
        ("identity", ""),
        ("GZip ", "gzip"),
        ("x-gzip", "gzip"),
        ("br", "br"),
        (" gzip ,br", "gzip, br"),
    ],
)
def test_an_encoding_has_one_spelling(header: str | None, encoding: str) -> None:
    assert encoding_of(header) == encoding


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "compress", "gzip, gzip", "aws-chunked", ""])
def test_only_one_layer_of_gzip_is_unpacked(encoding: str) -> None:
    assert can_unpack("gzip")
    assert not can_unpack(encoding)


@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
def test_both_sides_of_an_encoded_object_are_measured(size: int) -> None:
    packed = gzip.compress(TEXT)
    found = measure(cut(packed, size), len(packed), "gzip")
    assert (found.stored, found.content, found.why) == (sum_of(packed), sum_of(TEXT), "")
    plain = measure(cut(packed, size), len(packed))
    assert (plain.stored, plain.content) == (sum_of(packed), sum_of(packed))


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_what_cannot_be_unpacked_is_measured_as_it_is_stored_to_its_end(encoding: str) -> None:
    data = b"no gzip " * 1000
    found = measure(cut(data, 100), len(data), encoding)
    assert (found.stored, found.content) == (sum_of(data), None)
    assert found.why.startswith("is ")


def test_a_bomb_has_no_content_and_its_stored_bytes_are_measured() -> None:
    bomb = gzip.compress(bytes(65 << 20))
    found = measure(cut(bomb, 4096), len(bomb), "gzip")
    assert (found.stored, found.content) == (sum_of(bomb), None)
    assert "unpacks to more than 67,108,864 bytes" in found.why


@pytest.mark.parametrize("offset", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 1 << 30])
def test_content_goes_on_at_any_offset(offset: int) -> None:
    plain = random.Random(7).randbytes(3 * PIECE + 5)
    packed = gzip.compress(plain)
    assert b"".join(content_from(cut(packed, 5000), len(packed), offset)) == plain[offset:]


@pytest.mark.parametrize("nothing", [bytes(1 << 16), gzip.compress(b"") * 3000], ids=["padding", "empty members"])
def test_packed_bytes_that_come_to_nothing_for_ever_are_refused(nothing: bytes) -> None:
    def endless() -> Iterator[bytes]:
        yield gzip.compress(TEXT)
        while True:
            yield nothing

    with pytest.raises(BadEncoding, match="come to nothing"):
        sum(map(len, unpacked(endless(), ENOUGH)))
