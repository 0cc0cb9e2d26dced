"""Makes thumbnails of images and of videos' first frames, with Pillow, and with ffmpeg if it is on the PATH.

Both are optional; without Pillow there are no thumbnails. The files may come from anywhere: one that is broken, a
decompression bomb, or not what its name says gets no thumbnail and does no harm.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import os
import shutil
import subprocess
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

from reconcile.core.media import content_type

EDGE = 160
"""Pixels of the longer side of a thumbnail."""
LARGEST_IMAGE = 32 << 20
LARGEST_VIDEO = 64 << 20
"""The maximum bytes of a file that is read for its thumbnail."""
PIXELS = 50_000_000
"""The maximum pixels of an image or a frame; a larger one counts as a decompression bomb."""
PATIENCE = 10.0
"""Seconds that ffmpeg may take for a frame."""

_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP", "image/gif": "GIF", "image/bmp": "BMP"}
# ffmpeg gets the container and must not guess it: a playlist named like a video would refer to other files.
_CONTAINERS = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
    "video/x-msvideo": "avi",
}


class Thumbnails:
    """A maker of thumbnails as ``data:`` URIs. ``ffmpeg`` is the path of that program, or None."""

    def __init__(self, ffmpeg: str | None) -> None:
        self._ffmpeg = ffmpeg

    @classmethod
    def of_this_machine(cls) -> Thumbnails | None:
        """Returns a maker with the programs of this machine, or None without Pillow."""
        return None if importlib.util.find_spec("PIL") is None else cls(_program("ffmpeg"))

    def most(self, path: str) -> int:
        """Returns the maximum bytes of a file of this name that can get a thumbnail; 0 if none can."""
        kind = content_type(path)
        if kind in _FORMATS:
            return LARGEST_IMAGE
        return LARGEST_VIDEO if kind in _CONTAINERS and self._ffmpeg is not None else 0

    def picture(self, path: str, data: bytes) -> str | None:
        """Returns a thumbnail of the file with this name and content, or None."""
        kind = content_type(path)
        try:
            if kind in _CONTAINERS:
                frame = self._first_frame(_CONTAINERS[kind], data)
                small = _small(frame, "PNG") if frame else None
            else:
                small = _small(data, _FORMATS[kind])
        except Exception:  # noqa: BLE001 - broken images raise many kinds of errors
            return None
        return None if small is None else f"data:image/webp;base64,{base64.b64encode(small).decode()}"

    def _first_frame(self, container: str, data: bytes) -> bytes:
        """Returns the first frame as a PNG.

        The video is copied to a file with a name of ours, which cannot be mistaken for an option or a protocol, and in
        which ffmpeg can seek to the index.
        """
        if self._ffmpeg is None:
            return b""
        with TemporaryDirectory(prefix="reconcile-") as folder:
            file = Path(folder) / "video"
            file.write_bytes(data)
            fit = f"scale={EDGE}:{EDGE}:force_original_aspect_ratio=decrease"
            command = [self._ffmpeg, "-nostdin", "-v", "error", "-threads", "1", "-max_pixels", str(PIXELS)]
            command += ["-protocol_whitelist", "file", "-f", container, "-i", str(file), "-an", "-frames:v", "1"]
            command += ["-vf", fit, "-f", "image2pipe", "-c:v", "png", "pipe:1"]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, cwd=folder, check=False
            )
        return done.stdout


def _small(data: bytes, form: str) -> bytes | None:
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd metadata, and sizes that are checked here
        with Image.open(io.BytesIO(data), formats=(form,)) as image:
            if image.width * image.height > PIXELS:
                return None
            image.draft("RGB", (2 * EDGE, 2 * EDGE))  # a JPEG can be decoded at reduced size
            upright = ImageOps.exif_transpose(image)
            has_alpha = "A" in upright.getbands() or "transparency" in upright.info
            small = upright.convert("RGBA" if has_alpha else "RGB")
            small.thumbnail((EDGE, EDGE))
            out = io.BytesIO()
            small.save(out, "WEBP", quality=60)
            return out.getvalue()


def _program(name: str) -> str | None:
    """Returns the path of a program on the PATH. Windows would also search the current folder, which is excluded."""
    found = shutil.which(name)
    return None if found is None or Path(found).parent == Path(os.curdir) or Path(found).parent == Path.cwd() else found
