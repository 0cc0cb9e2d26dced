"""The official Firestore emulator on this machine, shared by the processes of one test run, and gone after it.

A guard process owns the emulator. Every test process holds one connection to the guard, its lease; the guard stops
the emulator's process group when the last lease is gone, however its holder ended.
"""

from __future__ import annotations

import http.client
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

START_SECONDS = 30.0
ATTEMPTS = 3
GRACE_SECONDS = 20.0
JAVA_OPTIONS = "-Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
SCRIPT = "platform/cloud-firestore-emulator/cloud_firestore_emulator"


def missing() -> str | None:
    """Why there can be no emulator here, or None."""
    if shutil.which("gcloud") is None:
        return "the official Firestore emulator needs gcloud, which is not installed"
    if shutil.which("java") is None:
        return "the official Firestore emulator needs Java, which is not installed"
    return None


@contextmanager
def lease(folder: Path) -> Iterator[str]:
    """The address (host:port) of the emulator of all who name this folder, started where need be."""
    with FileLock(folder / "emulator.lock"):
        connection, address = _join(folder) or _found(folder)
    with connection:
        yield address


def _join(folder: Path) -> tuple[socket.socket, str] | None:
    """A lease from the guard that is there, if one is."""
    with suppress(OSError, ValueError):
        port = int((folder / "guard.port").read_text())
        connection = socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS)
        address = connection.recv(100).decode().strip()
        if address:
            return connection, address
        connection.close()
    return None


def _found(folder: Path) -> tuple[socket.socket, str]:
    """Starts a guard, and a lease from it."""
    (folder / "guard.port").unlink(missing_ok=True)
    log = folder / "emulator.log"
    with log.open("ab") as output:
        guard = subprocess.Popen(
            [sys.executable, str(Path(__file__)), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            **_own_group(),
        )
    end = time.monotonic() + ATTEMPTS * START_SECONDS
    while time.monotonic() < end and guard.poll() is None:
        if (joined := _join(folder)) is not None:
            guard.returncode = 0  # it may outlive this process, and nobody is to wait for it
            return joined
        time.sleep(0.05)
    guard.kill()
    guard.wait()
    raise RuntimeError(f"The Firestore emulator did not start:\n{log.read_text(errors='replace')[-2000:]}")


def _own_group() -> dict[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


# -- the guard --------------------------------------------------------------------------------------------------


def guard(folder: Path) -> None:
    """Runs the emulator for as long as anybody holds a lease."""
    with socket.create_server(("127.0.0.1", 0)) as door, _emulator() as port:
        _publish(folder, door.getsockname()[1])
        _serve(door, f"127.0.0.1:{port}\n".encode())


@contextmanager
def _emulator() -> Iterator[int]:
    """An emulator that answers, at its port; another port is tried where somebody was quicker to take one."""
    for attempt in range(ATTEMPTS):
        port = _free_port()
        process = subprocess.Popen(_command(port), env=_environment(os.environ), **_own_group())
        try:
            if _answers(process, port):
                yield port
                return
        finally:
            _stop(process)
        sys.stderr.write(f"attempt {attempt + 1} on port {port}: the emulator ended or did not answer\n")
    raise RuntimeError("no emulator could be started")


def _command(port: int) -> list[str]:
    gcloud = shutil.which("gcloud") or "gcloud"
    script = Path(gcloud).resolve().parents[1] / SCRIPT
    if script.is_file() and sys.platform != "win32":
        return [str(script), "start", "--host=127.0.0.1", f"--port={port}"]
    return [gcloud, "emulators", "firestore", "start", f"--host-port=127.0.0.1:{port}"]


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {**environ, "JAVA_TOOL_OPTIONS": JAVA_OPTIONS}


def _free_port() -> int:
    """A port below those that the system hands out itself: one of its own would be gone before Java is up."""
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", random.randrange(20_000, 30_000))) as probe:
            return int(probe.getsockname()[1])


def _answers(emulator: subprocess.Popen[bytes], port: int) -> bool:
    """Waits for it to be ready; False where it ended, or took too long."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and emulator.poll() is None:
        with suppress(OSError, http.client.HTTPException):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
            return True
        time.sleep(0.1)
    return False


def _publish(folder: Path, port: int) -> None:
    draft = folder / "guard.port.new"
    draft.write_text(str(port))
    draft.replace(folder / "guard.port")


def _serve(door: socket.socket, greeting: bytes) -> None:
    """Greets whoever comes, until the last has gone, or nobody came at all."""
    leases: list[socket.socket] = []
    came = time.monotonic()
    while leases or time.monotonic() - came < GRACE_SECONDS:
        ready, _, _ = select.select([door, *leases], [], [], 1.0)
        for each in ready:
            if each is door:
                holder, _ = door.accept()
                holder.sendall(greeting)
                leases.append(holder)
            else:
                each.close()
                leases.remove(each)
                came = time.monotonic() - GRACE_SECONDS


def _stop(emulator: subprocess.Popen[bytes]) -> None:
    """Ends the whole group: the script, Java, and whatever gcloud put between."""
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(emulator.pid)], check=False, capture_output=True)
    else:
        for how in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(emulator.pid, how)
            with suppress(subprocess.TimeoutExpired):
                emulator.wait(timeout=5)
    emulator.wait()


if __name__ == "__main__":
    guard(Path(sys.argv[1]))
