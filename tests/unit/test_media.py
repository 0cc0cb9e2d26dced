"""Content types."""

from __future__ import annotations

import re

import pytest

from reconcile.core import media
from reconcile.core.media import content_type, names_a_file


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("characters/rem.png", "image/png"),
        ("characters/REM.PNG", "image/png"),
        ("remixes/a.b/REMIX_1.mp4", "video/mp4"),
        ("remixes/x/result/generated_kpop_music.mp3", "audio/mpeg"),
        ("a.jpeg", "image/jpeg"),
        ("a.webp", "image/webp"),
        ("a.mov", "video/quicktime"),
        ("a.wav", "audio/wav"),
        ("a.fbx", "application/vnd.autodesk.fbx"),
        ("a.usd", "model/usd"),
        ("a.usda", "model/vnd.usda"),
        ("a.usdc", "model/usd"),
        ("a.usdz", "model/vnd.usdz+zip"),
        ("a.hdr", "image/vnd.radiance"),
        ("a.hdri", "image/vnd.radiance"),
        ("a.exr", "image/x-exr"),
        ("a.glb", "model/gltf-binary"),
        ("a.gltf", "model/gltf+json"),
        ("a.obj", "model/obj"),
        ("a.mtl", "model/mtl"),
        ("a.blend", "application/x-blender"),
        ("a.tar.json", "application/json"),
        (".png", "image/png"),
    ],
)
def test_the_ending_says_the_content_type_on_every_machine(key: str, expected: str) -> None:
    assert content_type(key) == expected


@pytest.mark.parametrize("key", ["png", "x/mp4", "a.mp4/b", "a.xyz", "a.", "", "a.mp4 "])
def test_what_has_no_known_ending_is_just_bytes(key: str) -> None:
    assert content_type(key) == "application/octet-stream"


@pytest.mark.parametrize(
    ("kind", "endings"),
    [
        ("video/", "mp4 m4v mov qt mkv webm avi mpg mpeg wmv asf flv f4v 3gp 3g2 ts m2ts mts ogv vob m4s"),
        ("audio/", "mp3 m4a m4b aac wav flac ogg opus aiff aif mid midi wma weba mka amr caf ac3"),
        ("image/", "png jpg jpeg jfif jxl gif webp avif heic bmp tiff svg psd exr hdr tga dds apng jp2 dng ico xcf"),
        ("text/", "txt lrc vtt ass ssa html htm css js md csv tsv"),
        ("model/", "glb gltf obj mtl stl usdz dae ply 3mf vrm"),
        ("font/", "ttf otf ttc woff woff2"),
        ("application/", "srt ttml m3u8 mpd mxf json jsonl yaml xml pdf epub docx xlsx pptx odt zip gz 7z tar blend"),
    ],
)
def test_the_files_of_a_media_pipeline_have_their_types(kind: str, endings: str) -> None:
    for ending in endings.split():
        for key in (f"dances/x/take.{ending}", f"TAKE.{ending.upper()}"):
            assert content_type(key).startswith(kind), key
            assert content_type(key) != "application/octet-stream"


def test_each_type_is_a_header_that_a_server_takes() -> None:
    types = {content_type(f"x.{ending}") for ending in media_endings()}
    assert all(re.fullmatch(r"[a-z]+/[A-Za-z0-9][A-Za-z0-9.+-]*(; charset=utf-8)?", type_) for type_ in types)
    assert {content_type(f"x.{ending}") for ending in ("ts", "m3u8", "psd", "html", "md", "glb")} == {
        "video/mp2t",
        "application/vnd.apple.mpegurl",
        "image/vnd.adobe.photoshop",
        "text/html; charset=utf-8",
        "text/markdown; charset=utf-8",
        "model/gltf-binary",
    }


def test_no_ending_has_two_types() -> None:
    listed = media_endings()
    assert len(listed) == len(set(listed))


def media_endings() -> list[str]:
    return [ending for endings in media._ENDINGS.values() for ending in endings.split()]


@pytest.mark.parametrize("text", ["ask the people of character.ai", "see rentry.md", "Vol. 2", "", "a.mp4/b"])
def test_a_note_that_ends_as_an_address_does_names_no_file(text: str) -> None:
    assert not names_a_file(text)
    assert names_a_file(f"{text}/take.MP4")
