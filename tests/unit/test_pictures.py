"""Pictures on the page: small ones of what is new or in conflict, and no harm by what only calls itself an image."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import struct
import subprocess
import sys
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from reconcile.adapters import thumbnails
from reconcile.adapters.thumbnails import Thumbnails
from reconcile.commands import report
from reconcile.commands.demo_media import mp4
from tests.kit.small_project import KPOP, make_project, open_objects, put, write

WITHOUT_FFMPEG = Thumbnails(None)
HERE = Thumbnails.of_this_machine()
IMAGE = "characters/ai_hoshino.png"


def image(form: str = "PNG", size: tuple[int, int] = (640, 480), mode: str = "RGB", **how: Any) -> bytes:
    out = io.BytesIO()
    noise = random.Random(1).randbytes(size[0] * size[1] * len(mode))
    Image.frombytes(mode, size, noise).save(out, form, **how)
    return out.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes and very many pixels, all of them there."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + width // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def opened(uri: str | None) -> Image.Image:
    assert uri is not None
    head, _, data = uri.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@pytest.mark.parametrize(
    ("name", "form"), [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.webp", "WEBP"), ("a.gif", "GIF"), ("a.bmp", "BMP")]
)
def test_an_image_gets_a_small_picture(name: str, form: str) -> None:
    assert opened(WITHOUT_FFMPEG.picture(name, image(form))).size == (160, 120)


def test_a_picture_is_upright_and_keeps_what_is_transparent() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    assert opened(WITHOUT_FFMPEG.picture("a.jpg", image("JPEG", exif=exif))).size == (120, 160)
    assert opened(WITHOUT_FFMPEG.picture("a.png", image(mode="RGBA"))).mode == "RGBA"


def test_a_bomb_has_no_picture() -> None:
    data = bomb(30_000, 30_000)
    assert len(data) < 1 << 20
    assert WITHOUT_FFMPEG.picture("a.png", data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        image()[:5000],
        image()[:-8],
        image("JPEG")[:200],
        image("TIFF"),
        b"GIF89a" + b"\xff" * 2000,
        b"<svg onload=alert(1)>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        bomb(100, 100).replace(b"IDAT", b"IDOT"),
        image()[:33] + os.urandom(400),
    ],
    ids=lambda data: repr(data[:12]),
)
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.webp", "a.bmp"])
def test_what_is_broken_or_no_such_image_has_no_picture_or_a_part_of_one(name: str, data: bytes) -> None:
    found = WITHOUT_FFMPEG.picture(name, data)
    assert found is None or opened(found).size <= (160, 160)


def test_what_has_no_picture_is_not_read_for_one() -> None:
    assert [WITHOUT_FFMPEG.most(name) for name in ("a.mp4", "a.mp3", "a.txt", "a.svg", "a.eps", "a.tif")] == [0] * 6
    assert Thumbnails("ffmpeg").most("a.mp4") == thumbnails.LARGEST_VIDEO


ffmpeg = pytest.mark.skipif(HERE is None or not HERE.most("a.mp4"), reason="ffmpeg is not on the PATH")


@ffmpeg
def test_a_video_gets_its_first_frame(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    made = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:duration=0.2", str(video)]
    subprocess.run(made, check=True, stdin=subprocess.DEVNULL)
    assert HERE is not None
    assert opened(HERE.picture("a.mp4", video.read_bytes())).size == (160, 120)


@ffmpeg
def test_a_video_that_names_other_files_is_not_obeyed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(image())
    playlist = f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n".encode()
    concat = f"ffconcat version 1.0\nfile {secret}\n".encode()
    assert HERE is not None
    for name in ("a.mp4", "a.webm", "a.avi", "a.mov"):
        for data in (playlist, concat, image(), b"", mp4("x")[:100]):
            assert HERE.picture(name, data) is None


def test_a_program_that_fails_or_is_none_gives_no_picture(tmp_path: Path) -> None:
    assert Thumbnails(str(tmp_path / "no such program")).picture("a.mp4", b"x") is None
    assert Thumbnails(sys.executable).picture("a.mp4", b"x") is None


# -- on the page --


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An image to upload, beside others that are none."""
    made = make_project(tmp_path / "studio")
    write(made, IMAGE, image())
    return made


def data_of(run: Any, project: Path, *more: str) -> dict[str, Any]:
    out = project.parent / "page.html"
    answer = run("report", "--out", str(out), *more)
    assert answer.code == 0, answer
    text = out.read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    return found


def conflicts(data: dict[str, Any]) -> list[Any]:
    return [row[4] for group in data["groups"] if group[1] == "content_conflict" for row in group[5]]


def test_both_sides_of_a_conflict_have_a_picture_and_so_has_what_is_new(run: Any, project: Path) -> None:
    with closing(open_objects(project)) as objects:
        put(objects, IMAGE, image(size=(480, 640)))
    data = data_of(run, project)
    sides = [side for (both, _) in conflicts(data) for side in both]
    assert [side[0] for side in sides] == ["Here", "In the bucket"]
    assert [opened(data["pictures"][side[4]]).size for side in sides] == [(160, 120), (120, 160)]
    commands = [command for (_, ways) in conflicts(data) for _, command in ways]
    assert f"reconcile apply --path {IMAGE} --replace local" in commands


def test_pictures_can_be_left_out(run: Any, project: Path) -> None:
    assert data_of(run, project)["pictures"]
    assert data_of(run, project, "--no-pictures")["pictures"] == []


def test_without_pillow_there_are_no_pictures_and_nothing_of_it_is_imported(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    code = (
        "import sys; sys.modules['PIL'] = None; from reconcile.__main__ import main;"
        f"code = main(['-C', {str(project)!r}, 'report', '--out', {str(out)!r}]);"
        "sys.exit(code or any(name.startswith('PIL.') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
    assert '"pictures":[]' in out.read_text(encoding="utf-8")


def test_an_image_that_is_a_link_out_of_the_root_is_never_read(run: Any, project: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(image(size=(99, 99)))
    file = project / "output" / IMAGE
    file.unlink()
    file.symlink_to(secret)
    assert data_of(run, project, "--char-id", "ai_hoshino")["pictures"] == []


def test_a_file_that_becomes_a_link_after_the_plan_is_never_read(project: Path, tmp_path: Path) -> None:
    from reconcile import Project
    from reconcile.commands.report import standings
    from reconcile.commands.status import overview
    from reconcile.core.errors import SourceChanged
    from reconcile.pipeline.planner import survey

    with Project.open(project).opened() as opened_project:
        seen = survey(opened_project)
        characters = standings(overview(seen, opened_project.asset_map, "p.html"), seen.plan)
        file = project / "output" / IMAGE
        secret = tmp_path / "secret.png"
        file.rename(secret)
        file.symlink_to(secret)
        assert report.pictures(opened_project, seen, characters, WITHOUT_FFMPEG) == {}
        with pytest.raises(SourceChanged), opened_project.files.open(IMAGE):
            pass


def test_pictures_end_when_their_time_or_their_room_does(
    run: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(5):
        write(project, f"characters/c{at}.png", image(size=(200, 200)))
    assert len(data_of(run, project)["pictures"]) == 6
    size = max(map(len, data_of(run, project)["pictures"]))
    monkeypatch.setattr(report, "ROOM", 3 * size)
    assert len(data_of(run, project)["pictures"]) == 3
    monkeypatch.setattr(report, "MOST", 2)
    assert len(data_of(run, project)["pictures"]) == 2
    monkeypatch.setattr(report, "SECONDS", -1)
    assert data_of(run, project)["pictures"] == []


def test_a_page_with_hostile_images_is_written_all_the_same(run: Any, project: Path) -> None:
    write(project, "characters/bomb.png", bomb(30_000, 30_000))
    write(project, "characters/broken.png", image()[:4000] + b"\0" * 100 + b"IEND\xaeB`\x82")
    write(project, KPOP, image())
    data = data_of(run, project)
    assert {name for name, *_ in data["characters"]} >= {"bomb", "ai_hoshino"}
    assert len(data["pictures"]) >= 1
