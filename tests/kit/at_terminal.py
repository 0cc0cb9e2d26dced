"""A command run as a process at a pseudo terminal, by somebody who answers its question."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import NamedTuple


class Question(NamedTuple):
    """What a command asks, and what it shows before that."""

    asked: bytes
    shown: bytes


def at_terminal(arguments: list[str], question: Question, answer: bytes | signal.Signals) -> int:
    """Runs the command and answers once it asks, with keys or with a signal; empty if it must not ask. Gives its exit
    code."""
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "reconcile", *arguments]
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True)
    os.close(theirs)
    seen, asked = b"", False
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
            if not asked and question.asked in seen:
                asked = True
                assert question.shown in seen
                child.send_signal(answer) if isinstance(answer, signal.Signals) else os.write(ours, answer)
    except OSError:
        pass  # Linux says so when the other end is closed
    os.close(ours)
    assert asked is bool(answer)
    return child.wait(60)
