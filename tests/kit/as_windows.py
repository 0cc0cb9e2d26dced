"""The program in a process of its own by the rules of Windows: ``python -m tests.kit.as_windows run -- COMMAND…``."""

from __future__ import annotations

import pytest

from reconcile.__main__ import run
from tests.kit.windows import rules

if __name__ == "__main__":
    with rules(pytest.MonkeyPatch()):
        run()
