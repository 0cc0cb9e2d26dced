"""How long a plan takes where nothing is to be done, beside the walk that it cannot do without: ``make bench``.

Machines are noisy and differ: the ratios of one run are what to compare.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from reconcile import Project, config
from reconcile.pipeline.planner import survey

URI = "gs://my-bucket/anime_dance/"
FIELDS = {
    "characters/{}.png": ("primary", "anime_image"),
    "characters/{}_cosplay.png": ("primary", "cosplay_image"),
    "dances/dance_{}_01.mp4": ("primary", "dance_video"),
    "remixes/{}_a/REMIX_a.mp4": ("primary", "deliverable"),
    "remixes/{}_a/variants/neon.mp4": ("neon", "dance_video"),
    "remixes/{}_a/variants/rain.mp4": ("rain", "dance_video"),
    "remixes/{}_a/result/[kpop]_a.mp4": ("primary", "kpop_video"),
    "remixes/{}_a/result/[orig]_a.mp4": ("primary", "orig_video"),
    "remixes/{}_a/result/a_watermarked.mp4": ("primary", "watermarked"),
    "remixes/{}_a/result/icon_a.png": ("primary", "icon"),
}


def build(folder: Path, files: int) -> None:
    """A project in step: ``files`` small files, their objects, and records that name them all."""
    rules = config.template().replace('endpoint = "" ', 'endpoint = "file:store/bucket" ', 1)
    rules = rules.replace('endpoint = "" ', 'endpoint = "file:store/records" ', 1)
    (folder / "rules").mkdir()
    (folder / "rules" / "asset_map.toml").write_text(rules, encoding="utf-8")
    with Project.open(folder).opened() as project:
        for number in range(files // len(FIELDS)):
            char_id = f"char_{number:06}"
            entries: dict[str, dict[str, str]] = {}
            for path, (title, field) in FIELDS.items():
                _write(folder / "output" / path.format(char_id))
                entries.setdefault(title, {"title": title})[field] = URI + path.format(char_id)
            project.records.create(char_id, {"name": char_id, "assets": list(entries.values())})
        for file in project.files.walk():
            assert file.crc32c is not None
            body = io.BytesIO((folder / "output" / file.path).read_bytes())
            project.objects.put(
                file.path, body, size=file.size, crc32c=file.crc32c, content_type="video/mp4", if_generation_match=0
            )


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(path.name.encode() * 20)
    os.utime(path, (1e9, 1e9))


def timed(work: Callable[[], object]) -> float:
    """Seconds of the best of three runs."""
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def main() -> None:
    """Prints the figures for the number of files given (default 3,000)."""
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 3_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, files)

        def walk() -> None:
            with Project.open(folder).opened() as project:
                assert sum(1 for _ in project.files.walk()) == files

        def plan() -> None:
            with Project.open(folder).opened() as project:
                assert survey(project).plan.summary.in_step == files

        plan()
        walked, planned = timed(walk), timed(plan)
    sys.stdout.write(
        f"{files} files in step: walk {walked:.2f} s, plan {planned:.2f} s, plan/walk {planned / walked:.1f}\n"
    )


if __name__ == "__main__":
    main()
