"""When a hook's work is done in another process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys, types
from reconcile.adapters import apart
if sys.argv[1] == "loaded":
    sys.modules["grpc"] = types.ModuleType("grpc")  # what counts is that it is there at the fork
assert not apart.is_needed()
child = os.fork()
if child:
    sys.exit(os.waitpid(child, 0)[1])
sys.modules["grpc"] = types.ModuleType("grpc")
print(apart.is_needed(), flush=True)
if apart.is_needed():
    print(apart.call(os.path.basename, "/a/b"), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(("grpc", "said"), [("loaded", ["True", "b"]), ("not loaded", ["False"])])
def test_a_child_of_a_process_that_had_loaded_grpc_calls_in_another_process(grpc: str, said: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, grpc], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == said
