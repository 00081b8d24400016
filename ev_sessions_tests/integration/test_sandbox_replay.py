"""Recorded sessions behind the simulated API: served as they stand, or refused in one line."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from ev_sessions.sandbox import Recording, ReplayFileError, Sandbox, SandboxOptions, serving
from ev_sessions.settings import SessionDay

ORG, USER, CAR, OTHER_CAR = (str(UUID(int=number)) for number in (1, 2, 3, 4))
HEADER = "org_id,user_id,electric_vehicle_id,id,plug_in_time,unplug_time,energy_charged_kwh,is_at_home,source,_why"
SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"
EVER = date(2000, 1, 1), date(2099, 12, 31)


def line(number: int, plug_in: str, unplug: str, energy: str = "1.50", home: str = "True", car: str = CAR) -> str:
    return f"{ORG},{USER},{car},{UUID(int=number)},{plug_in},{unplug},{energy},{home},meter-{number},because"


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join((HEADER, *lines)) + "\n", encoding="utf-8")
    return path


def bodies(recording: Recording, car: str = CAR) -> list[bytes]:
    return [version.body for version in recording.versions(UUID(car), *EVER, recording.clock or datetime.now(UTC))]


def test_cells_become_json_without_losing_a_digit(tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", line(7, "2026-01-01T10:00:00Z", "", energy="12.500", home="False"))
    assert bodies(Recording(file)) == [
        (
            f'{{"id":"{UUID(int=7)}","plug_in_time":"2026-01-01T10:00:00Z","unplug_time":null,"energy_charged_kwh":12.500,'
            '"is_at_home":false,"source":"meter-7"}'
        ).encode()
    ]


def test_ndjson_is_served_digit_by_digit_without_notes(tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    keys = f'"org_id":"{ORG}","user_id":"{USER}","electric_vehicle_id":"{CAR}"'
    record = (
        f'"id":"{UUID(int=7)}","plug_in_time":"2026-01-01T10:00:00Z","actual_cost_eur":0.30000000000000004,"meter":{{"a":[1.0]}}'
    )
    file.write_text(f'{{{keys},{record},"_why":"rounding"}}\n\n', encoding="utf-8")
    assert bodies(Recording(file)) == [f"{{{record}}}".encode()]


def test_bad_rows_are_served_as_they_stand_and_known_as_malformed(tmp_path: Path) -> None:
    file = written(
        tmp_path / "a.csv",
        line(1, "2026-01-01T10:00:00Z", "2026-01-01T12:00:00Z"),
        line(2, "2026-01-02T10:00:00", "2026-01-02T12:00:00Z"),
        line(3, "", "2026-01-03T12:00:00Z"),
        line(4, "2026-01-04T10:00:00Z", "2026-01-04T12:00:00Z", energy="12,5".replace(",", ".."), home="maybe"),
    )
    recording = Recording(file)
    assert recording.clock is not None
    day_by_day = [recording.malformed(UUID(CAR), day, day, recording.clock) for day in (date(2026, 1, d) for d in (1, 2, 3, 4))]
    assert [len(found) for found in day_by_day] == [0, 1, 1, 1]
    assert b'"energy_charged_kwh":"12..5","is_at_home":"maybe"' in day_by_day[3][0]
    assert len(recording.sessions(UUID(CAR), *EVER, recording.clock)) == 1


def test_a_record_without_any_stamp_stands_on_the_first_day(tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", line(1, "2026-01-05T10:00:00Z", ""), line(2, "", ""))
    recording = Recording(file)
    assert len(recording.versions(UUID(CAR), date(2026, 1, 5), date(2026, 1, 5), datetime(2026, 2, 1, tzinfo=UTC))) == 2


def test_a_record_that_occurs_twice_is_served_once(tmp_path: Path) -> None:
    same = line(1, "2026-01-01T10:00:00Z", "2026-01-01T12:00:00Z")
    assert len(bodies(Recording(written(tmp_path / "a.csv", same, same)))) == 1


def test_the_clock_stands_a_day_after_the_last_end_and_can_be_moved_before_it(tmp_path: Path) -> None:
    file = written(
        tmp_path / "a.csv",
        line(1, "2026-01-01T10:00:00Z", "2026-01-01T12:00:00Z"),
        line(2, "2026-01-01T20:00:00Z", "2026-01-04T12:00:00Z"),
    )
    sandbox = Sandbox(SandboxOptions(end=date(2026, 1, 1)), Recording(file))
    assert sandbox.now == datetime(2026, 1, 5, 12, tzinfo=UTC)
    early = Sandbox(SandboxOptions(end=date(2026, 1, 1), now=datetime(2026, 1, 2, tzinfo=UTC)), Recording(file))
    assert len(early.truth.versions(UUID(CAR), *EVER, early.now)) == 1


def test_a_window_by_another_cut_finds_long_stays(tmp_path: Path) -> None:
    recording = Recording(written(tmp_path / "a.csv", line(1, "2026-01-01T20:00:00Z", "2026-01-04T12:00:00Z")))
    now = datetime(2026, 2, 1, tzinfo=UTC)
    third, fourth = date(2026, 1, 3), date(2026, 1, 4)
    assert len(recording.versions(UUID(CAR), third, third, now, SessionDay.OVERLAP)) == 1
    assert len(recording.versions(UUID(CAR), fourth, fourth, now, SessionDay.UNPLUG_TIME)) == 1
    assert len(recording.versions(UUID(CAR), fourth, fourth, now)) == 0


def test_users_and_vehicles_are_those_of_the_file(tmp_path: Path) -> None:
    file = written(
        tmp_path / "a.csv",
        line(1, "2026-01-01T10:00:00Z", ""),
        line(2, "2026-01-01T10:00:00Z", "", car=OTHER_CAR),
    )
    sandbox = Sandbox(SandboxOptions(end=date(2026, 1, 1)), Recording(file))
    with serving(sandbox) as url, httpx.Client(base_url=f"{url}/api/partners/v2.0/org/{ORG}") as http:
        http.headers["authorization"] = f"Bearer {sandbox.tokens.issue()}"
        assert [user["id"] for user in http.get("/users").json()] == [USER]
        assert [car["id"] for car in http.get(f"/users/{USER}/electric-vehicles").json()] == [CAR, OTHER_CAR]
        assert http.get(f"/users/{CAR}/electric-vehicles").status_code == 404
        window = {"from": "2026-01-01", "to": "2026-01-01"}
        page = http.get(f"/users/{USER}/electric-vehicles/{OTHER_CAR}/sessions", params=window).json()
        assert [item["source"] for item in page["items"]] == ["meter-2"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.csv", b"", "has no org_id"),
        ("a.csv", b"arrival,departure\n1,2\n", "has no org_id"),
        ("a.csv", HEADER.encode(), "holds records of 0 organisations"),
        ("a.csv", f"{HEADER}\n{ORG},{USER},car 5,x,,,,,,\n".encode(), "line 2: electric_vehicle_id is"),
        ("a.csv", b"\xff\xfe\x00", "cannot read"),
        ("a.csv.gz", b"not gzipped", "cannot read"),
        # Without the time of the day: every worker must make the same test of it.
        ("a.csv.gz", gzip.compress(HEADER.encode() * 500, mtime=0)[:60], "cannot read"),
        ("a.ndjson", b"{\n", "line 1: no JSON object"),
        ("a.ndjson", b"[1]\n", "line 1: no JSON object"),
        ("a.ndjson", b'{"id":"x"}\n', "has no org_id"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ReplayFileError, match=complaint) as refusal:
        Recording(file)
    assert "\n" not in str(refusal.value)
    assert str(file) in str(refusal.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReplayFileError, match="cannot read"):
        Recording(tmp_path / "none.csv")


def shared(name: str) -> Path:
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"the recorded sessions {name} are not beside the repository")
    return path


def test_the_norwegian_sessions_are_listed_one_and_all() -> None:
    path = shared("sessions_norway.csv.gz")
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    recording = Recording(path)
    assert recording.clock is not None
    totals = recording.totals(date(2018, 1, 1), date(2021, 12, 31), recording.clock)
    assert (totals.rows, totals.malformed) == (len(rows), 0) == (35_377, 0)
    assert totals.energy_kwh == sum(Decimal(row["energy_charged_kwh"]) for row in rows)
    assert totals.savings_eur == sum(Decimal(row["actual_savings_eur"] or 0) for row in rows)
    assert recording.clock == max(datetime.fromisoformat(row["unplug_time"]) for row in rows if row["unplug_time"]) + timedelta(1)


def test_the_hard_sessions_are_served_without_the_reason_why_they_are_hard() -> None:
    path = shared("sessions_norway_hard.ndjson")
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    recording = Recording(path)
    assert recording.clock is not None
    listed = [body for car in recording.vehicle_ids() for body in bodies(recording, str(car))]
    assert {json.loads(body)["id"] for body in listed} == {record["id"] for record in records}
    assert not any(b"_why" in body for body in listed)
