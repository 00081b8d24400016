"""Recorded real sessions, served by the sandbox and read like any other API: every one of them lands as the file has it."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ev_sessions.days import DayRange
from ev_sessions.sandbox import Recording, Sandbox, SandboxOptions
from ev_sessions_tests.pipeline import failures, pipeline_over, red

RECORDED = Path(__file__).parents[3] / "shared" / "data"
WHOLE = RECORDED / "sessions_norway.csv.gz"
HARD = RECORDED / "sessions_norway_hard.ndjson"
NUMBERS = ("initial_soc_pct", "final_soc_pct", "energy_charged_kwh", "actual_cost_eur", "actual_savings_eur")

pytestmark = pytest.mark.skipif(not WHOLE.exists(), reason="the recorded sessions (../shared/data) are not on this machine")


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of the file, numbers as decimals."""
    if path.suffix == ".gz":
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from csv.DictReader(file)
    else:
        with path.open(encoding="utf-8") as file:
            yield from (json.loads(line, parse_float=Decimal) for line in file)


def recorded(path: Path, days: DayRange) -> dict[UUID, list[Decimal | None]]:
    """The sessions of the file that were plugged in on `days`: their numbers by id."""
    return {
        UUID(record["id"]): [None if record[name] in {None, ""} else Decimal(record[name]) for name in NUMBERS]
        for record in records(path)
        if date.fromisoformat(record["plug_in_time"][:10]) in days
    }


@pytest.mark.parametrize(
    ("path", "days"),
    [
        (WHOLE, DayRange(date(2020, 12, 20), date(2021, 1, 10))),
        (HARD, DayRange(date(2019, 12, 1), date(2019, 12, 31))),
    ],
)
def test_recorded_sessions_land_number_by_number(tmp_path: Path, path: Path, days: DayRange) -> None:
    sandbox = Sandbox(SandboxOptions(end=days.last, days=len(days)), Recording(path))
    expected = recorded(path, days)
    with pipeline_over(sandbox, tmp_path) as pipeline:
        result = pipeline.refresh(days)
        assert result.success, failures(result)
        landed = pipeline.rows(f"SELECT id, {', '.join(NUMBERS)} FROM raw.sessions")
        assert {session_id: list(numbers) for session_id, *numbers in landed} == expected
        assert len(landed) == len(expected) > 10
        assert sandbox.counts.sessions == len(sandbox.truth.vehicle_ids())
        assert pipeline.rows("SELECT count(*) FROM raw.quarantine") == [(0,)]
        assert red(result) == set()
