"""Recorded real sessions, served by the sandbox and read like any other API: every one of them lands as the file has it."""

from __future__ import annotations

import csv
import gzip
import json
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


def lines_of(path: Path) -> list[str]:
    """The lines of the file, unpacked."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content.decode().splitlines()


def records(path: Path) -> list[dict[str, Any]]:
    """The records of the file, numbers as decimals or as the text that they are."""
    lines = lines_of(path)
    return [json.loads(line, parse_float=Decimal) for line in lines] if path.suffix == ".ndjson" else list(csv.DictReader(lines))


def sample(path: Path, days: DayRange, folder: Path) -> Path:
    """The file's first line and those that name one of `days`, as they stand, as a file of their own."""
    stamps = [day.isoformat() for day in days]
    first, *others = lines_of(path)
    target = folder / path.name.removesuffix(".gz")
    target.write_text("\n".join([first, *(line for line in others if any(stamp in line for stamp in stamps))]), encoding="utf-8")
    return target


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
        (WHOLE, DayRange(date(2020, 12, 27), date(2021, 1, 5))),
        (HARD, DayRange(date(2019, 12, 5), date(2019, 12, 24))),
    ],
)
def test_recorded_sessions_land_number_by_number(tmp_path: Path, path: Path, days: DayRange) -> None:
    sandbox = Sandbox(SandboxOptions(end=days.last, days=len(days)), Recording(sample(path, days, tmp_path)))
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
