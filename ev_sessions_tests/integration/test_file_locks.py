"""Locks on files: one holder at a time, and none that is dead."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ev_sessions.file_locks import is_held, locked

HOLDER = """
import sys
from pathlib import Path
from ev_sessions.file_locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_held_inside_and_free_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path):
        assert is_held(path)
        with pytest.raises(BlockingIOError), locked(path, wait=False):
            pass
    assert not is_held(path)


def test_a_file_that_is_not_there_is_held_by_nobody(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "absent")


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_held(path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert not is_held(path)
