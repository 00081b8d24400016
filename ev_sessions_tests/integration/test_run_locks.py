"""Which runs are alive: told by locks that die with their processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ev_sessions.run_locks import alive, killed_runs

HOLDER = """
import sys
from pathlib import Path
from ev_sessions.run_locks import alive
with alive(Path(sys.argv[1]), sys.argv[2]):
    print("alive", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(home: Path, run_id: str) -> Iterator[subprocess.Popen[str]]:
    """Another process in which the run lives until its standard input is closed."""
    command = [sys.executable, "-c", HOLDER, str(home), run_id]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "alive\n"
        yield process


def killed(home: Path) -> list[str]:
    with killed_runs(home) as found:
        return found


def test_a_run_whose_process_was_killed_is_found_and_then_forgotten(tmp_path: Path) -> None:
    with holder(tmp_path, "run") as process:
        process.send_signal(signal.SIGKILL)
    assert killed(tmp_path) == ["run"]
    assert killed(tmp_path) == []


def test_a_run_that_lives_is_not_found_whether_here_or_in_another_process(tmp_path: Path) -> None:
    with alive(tmp_path, "here"), holder(tmp_path, "there"):
        assert killed(tmp_path) == []


def test_a_run_that_has_ended_leaves_nothing(tmp_path: Path) -> None:
    with alive(tmp_path, "run"):
        pass
    assert list((tmp_path / "alive").glob("*.lock")) == []


def test_a_run_of_several_processes_lives_until_the_last_of_them_has_ended(tmp_path: Path) -> None:
    with holder(tmp_path, "run") as survivor:
        with alive(tmp_path, "run"):
            pass
        assert killed(tmp_path) == []
        survivor.send_signal(signal.SIGKILL)
    assert killed(tmp_path) == ["run"]


def test_killed_runs_are_found_again_where_ending_them_failed(tmp_path: Path) -> None:
    with holder(tmp_path, "run") as process:
        process.send_signal(signal.SIGKILL)

    def fail_to_end() -> None:
        with killed_runs(tmp_path):
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fail_to_end()
    assert killed(tmp_path) == ["run"]


def test_where_no_run_ever_was_none_was_killed(tmp_path: Path) -> None:
    assert killed(tmp_path) == []
