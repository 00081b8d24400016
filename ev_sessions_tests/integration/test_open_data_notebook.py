"""The notebook page of the documentation, run as it stands."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ev_sessions.settings import PublishedAccess
from ev_sessions.tables import RAW_FETCHES, RAW_SESSIONS, RAW_USERS, RAW_VEHICLES
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.publish import publish
from ev_sessions_tests.raw_rows import NOW, at, derive_days, insert, read, session, uid, vehicle

PAGE = Path(__file__).parents[2] / "docs" / "notebook.md"
FIRST, LAST = date(2026, 3, 1), date(2026, 3, 31)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    database = Database(tmp_path / "sessions.duckdb")
    user = {"org_id": uid("org"), "user_id": uid("user of v1"), "external_user_id": "C-17"}
    money = {"energy_charged_kwh": 10, "actual_cost_eur": Decimal("2.5"), "actual_savings_eur": Decimal("0.5")}
    with database.writing() as connection:
        insert(connection, RAW_VEHICLES, vehicle("v1"))
        insert(connection, RAW_FETCHES, read("v1", FIRST, fetched_at=at("2026-03-02 03:15")))
        insert(connection, RAW_USERS, user | {"first_seen_at": NOW, "last_seen_at": NOW, "run_id": "fleet"})
        insert(
            connection,
            RAW_SESSIONS,
            session("march", day=date(2026, 3, 2)) | {"unplug_time": at("2026-03-02 20:00")} | money,
            session("april", day=LAST) | {"plug_in_time": at("2026-03-31 20:00"), "unplug_time": at("2026-03-31 23:00")} | money,
            session("bare", day=date(2026, 3, 3), time_zone="Europe/London"),
        )
        derive_days(connection, FIRST, LAST)
    publish(database, tmp_path / ".ev_sessions" / "published", PublishedAccess.OWNER)
    return tmp_path


def run_page() -> dict[str, Any]:
    """Run the page's blocks in one namespace, as a notebook does."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    namespace: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), namespace)  # noqa: S102 - the page is ours
    return namespace


def test_the_notebook_page_runs_and_gives_what_it_says(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(published)
    results = run_page()
    assert len(results["fleet"]) == 31
    assert len(results["unfinished"]) == 31
    assert results["weekly_energy"].isna().sum() == 4
    by_month = results["by_month"]
    assert by_month.loc[(pd.Period("2026-04"), "DE_LU"), "savings_rate"] == pytest.approx(0.5 / 3)
    assert len(by_month) == 2
    assert results["hour_of_plug_in"].tolist() == [13, 12, 22]
    assert "energy_charged_kwh" in results["floats"]
    customers = results["per_customer"][["external_user_id", "savings_eur", "sessions"]]
    assert customers.to_dict("records") == [{"external_user_id": "C-17", "savings_eur": 0.5, "sessions": 2}]
    assert len(results["both"]) == len(results["energy"]) == 3
    assert len(results["march"]) == 3
    assert results["per_place"]["sessions"].tolist() == [3]
