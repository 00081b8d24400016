"""A window killed anywhere inside its transaction is as if it had not begun."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from datetime import timedelta
from uuid import UUID

import pytest

from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.fleet import land_vehicles
from ev_sessions_tests.killed_writer import DAYS, NOW
from ev_sessions_tests.parts import USER, Answer, Rejection, listed_vehicle, session, write_part

CAR = UUID(int=101)


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What each death left behind: a digest of all tables, by what was being written."""
    folder = tmp_path_factory.mktemp("killed")
    path = folder / "ev_sessions.duckdb"
    with Database(path).writing() as connection:
        vehicles = [listed_vehicle(CAR)]
        land_vehicles(connection, vehicles, users_read=[USER], seen_at=NOW, run_id="run")
    answer = Answer(
        CAR,
        DAYS.first,
        DAYS.last,
        NOW - timedelta(hours=1),
        [session(number, day, energy_charged_kwh=number) for number, day in enumerate(DAYS)],
        [Rejection("key")],
    )
    part = write_part(folder / "part-00001", [answer])
    command = [sys.executable, "-m", "ev_sessions_tests.killed_writer", str(path), str(part)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found = defaultdict(list)
    for line in ended.stdout.splitlines():
        name, _, digest = line.rpartition(" ")
        found[name].append(digest)
    return found


@pytest.mark.parametrize("write", ["land", "derive"])
def test_a_process_killed_within_a_transaction_leaves_all_tables_as_they_were_and_one_killed_after_it_the_whole_write(
    digests: dict[str, list[str]], write: str
) -> None:
    *before, after = digests[write]
    assert len(before) > 3
    assert set(before) == {before[0]}
    assert after != before[0]
