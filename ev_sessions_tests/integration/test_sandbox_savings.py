"""The API's own sums, as the sandbox gives them: what they add up, how they are cut, and how they are made wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from ev_sessions.sandbox import Sandbox, SandboxOptions, SavingsPeriod, serving
from ev_sessions.settings import SessionDay

MARCH = {"from": "2026-03-01", "to": "2026-03-31", "resolution": "1MONTH"}
FIRST, LAST = date(2026, 3, 1), date(2026, 3, 31)
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def sandbox_with(**options: Any) -> Sandbox:  # noqa: ANN401 - options of all types
    plain = {"end": date(2026, 4, 30), "days": 90, "vehicles": 3, "now": NOW, "malformed_rate": 0, "added_rate": 0}
    return Sandbox(SandboxOptions(**{**plain, "deleted_rate": 0, **options}))


@contextmanager
def reading(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client with a token whose address is that of the organisation."""
    with serving(sandbox) as url, httpx.Client(base_url=url, timeout=5) as http:
        credentials = sandbox.client_id, sandbox.client_secret
        token = http.post("/oauth2/token/", auth=credentials, json={"grant_type": "client_credentials"}).json()["access_token"]
        http.headers["authorization"] = f"Bearer {token}"
        http.base_url = httpx.URL(f"{url}/api/partners/v2.0/org/{sandbox.org_id}")
        yield http


def of_vehicle(http: httpx.Client, sandbox: Sandbox, number: int = 0, /, **query: str) -> httpx.Response:
    vehicle = sandbox.truth.vehicle_ids()[number]
    path = f"/users/{sandbox.truth.owner(vehicle)}/electric-vehicles/{vehicle}/savings"
    return http.get(path, params={**MARCH, **query})


def of_organisation(http: httpx.Client, end: str = "2026-04-01T00:00:00Z") -> httpx.Response:
    return http.get("/devices/savings", params={"start_datetime": "2026-03-01T00:00:00Z", "end_datetime": end})


def exactly(number: float) -> Decimal:
    return Decimal(str(number))


@pytest.mark.parametrize(("period", "rule"), [(SavingsPeriod.PLUG_IN, "plug_in_time"), (SavingsPeriod.END, "unplug_time")])
def test_the_sums_of_a_vehicle_are_those_of_its_listed_sessions_by_the_cut_that_is_set(period: SavingsPeriod, rule: str) -> None:
    sandbox = sandbox_with(savings_period=period)
    rows = sandbox.truth.sessions(sandbox.truth.vehicle_ids()[0], FIRST, LAST, NOW, SessionDay(rule))
    with reading(sandbox) as http:
        (entry,) = of_vehicle(http, sandbox).json()["data"]
    assert entry["period"] == {"start_period": "2026-03-01T00:00:00Z", "end_period": "2026-04-01T00:00:00Z"}
    assert entry["electric_vehicle"]["charge_session_count"] == len(rows) > 0
    watt_hours = 1000 * sum(row["energy_charged_kwh"] for row in rows)
    assert entry["electric_vehicle"]["estimated_consumption_wh"] == watt_hours
    assert exactly(entry["savings"]["total"]) == sum(row["actual_savings_eur"] or 0 for row in rows)


@pytest.mark.parametrize(("resolution", "periods"), [("1DAY", 90), ("1WEEK", 14), ("1MONTH", 4), ("1QUARTER", 2), ("1YEAR", 1)])
def test_every_resolution_adds_up_to_the_same(resolution: str, periods: int) -> None:
    sandbox = sandbox_with()
    window = {"from": "2026-01-31", "to": "2026-04-30"}
    with reading(sandbox) as http:
        data = of_vehicle(http, sandbox, resolution=resolution, **window).json()["data"]
    sessions = sandbox.truth.sessions(sandbox.truth.vehicle_ids()[0], date(2026, 1, 31), date(2026, 4, 30), NOW)
    assert len(data) == periods
    assert sum(entry["electric_vehicle"]["charge_session_count"] for entry in data) == len(sessions)


def test_the_organisation_has_the_sum_of_its_vehicles() -> None:
    sandbox = sandbox_with()
    with reading(sandbox) as http:
        vehicles = [of_vehicle(http, sandbox, number).json()["data"][0]["savings"]["total"] for number in range(3)]
        answer = of_organisation(http).json()
    assert exactly(answer["electric_vehicle_savings"]) == sum(map(exactly, vehicles)) == exactly(answer["total_savings"])


def test_wrong_savings_are_too_high_and_leave_count_and_energy_alone() -> None:
    right, wrong = sandbox_with(), sandbox_with(wrong_savings=1)
    with reading(right) as http:
        (expected,) = of_vehicle(http, right).json()["data"]
    with reading(wrong) as http:
        (entry,) = of_vehicle(http, wrong).json()["data"]
    assert entry["electric_vehicle"] == expected["electric_vehicle"]
    assert entry["savings"]["total"] == pytest.approx(1.05 * expected["savings"]["total"], abs=1e-4)


def test_the_odd_shape_holds_somebodys_address_so_that_nobody_quotes_it() -> None:
    sandbox = sandbox_with(odd_savings=True)
    with reading(sandbox) as http:
        answers = [of_vehicle(http, sandbox).json(), of_organisation(http).json()]
    assert all(answer["asked_by"] in sandbox.truth.personal_values(NOW) for answer in answers)


def test_malformed_sessions_count_and_withdrawn_ones_do_not() -> None:
    sandbox = sandbox_with(malformed_rate=1)
    listed = sandbox.truth.listings(sandbox.truth.vehicle_ids()[0], FIRST, LAST)
    sandbox.withdraw([listed[0].id])
    with reading(sandbox) as http:
        (entry,) = of_vehicle(http, sandbox).json()["data"]
    assert entry["electric_vehicle"]["charge_session_count"] == len(listed) - 1
    assert entry["electric_vehicle"]["estimated_consumption_wh"] == 0


@pytest.mark.parametrize("query", [{"resolution": "1HOUR"}, {"from": "soon"}])
def test_questions_that_make_no_sense_get_422(query: dict[str, str]) -> None:
    sandbox = sandbox_with()
    with reading(sandbox) as http:
        assert of_vehicle(http, sandbox, **query).status_code == 422
        assert of_organisation(http, end="2026-03-01T00:00:00Z").status_code == 422
        assert of_organisation(http, end="soon").status_code == 422
        assert http.get("/devices/savings").status_code == 422
