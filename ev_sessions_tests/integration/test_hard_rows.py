"""Sessions that break naive code, judged and derived: twins of real ones, and, where they are at hand, the real ones."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import duckdb
import pytest

from ev_sessions.limits import Limits
from ev_sessions.tables import ANALYTICS_SESSIONS, RAW_QUARANTINE, RAW_SESSIONS, RAW_TOUCHED_DAYS, SESSION_FIELDS
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.judging import judged
from ev_sessions_tests.raw_rows import Row, derive_days, empty, insert, rows_of, session, touched, uid
from ev_sessions_tests.rule_cases import AS_IT_SHOULD_BE

RECORDED = Path(__file__).parents[3] / "shared" / "data"
HARD, DUNDEE = RECORDED / "sessions_norway_hard.ndjson", RECORDED / "dundee_anomalies.csv"

# Longer ago than any of the rows.
NO_DAY = date(2010, 1, 1)


@dataclass(frozen=True)
class Hard:
    """A session, what it breaks, and what must come of it; `derived` is None where it is kept out."""

    name: str
    plug_in: str
    unplug: str | None
    fields: Mapping[str, object]
    breaks: set[str]
    derived: Mapping[str, object] | None
    of: str = ""
    time_zone: str = "Europe/Oslo"

    def row(self) -> Row:
        """The row of raw.sessions."""
        begin = at(self.plug_in)
        plain = {name: value for name, value in AS_IT_SHOULD_BE.items() if name not in STAMPS}
        own = {"plug_in_time": begin, "unplug_time": at(self.unplug) if self.unplug else None, "time_zone": self.time_zone}
        return session(self.name, of=self.of or self.name, day=begin.date(), **{**plain, **own, **self.fields})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def number(text: str) -> Decimal:
    return Decimal(text)


STAMPS = {column.name for column in SESSION_FIELDS if column.type == "TIMESTAMPTZ"}
NOT_MEASURED = dict.fromkeys(
    ("avg_charge_power_kw", "peak_charge_power_kw", "actual_cost_eur", "expected_savings_eur", "actual_savings_eur")
)
NOTHING_CHARGED = dict.fromkeys(("energy_charged_kwh", "target_soc_pct", "initial_soc_pct", "final_soc_pct", *NOT_MEASURED))
NO_SOC = dict.fromkeys(("target_soc_pct", "initial_soc_pct", "final_soc_pct"))

TWINS = (
    # As in Norway.
    Hard("the first of two", "2020-05-02T11:21", "2020-05-04T04:24", {}, set(), {"flags": []}, of="two"),
    Hard(
        "the second of two",
        "2020-05-03T18:18",
        "2020-05-03T22:56",
        {"energy_charged_kwh": number("21.5")},
        {"overlap"},
        {"flags": ["overlap"]},
        of="two",
    ),
    Hard(
        "never unplugged",
        "2019-09-04T22:51",
        None,
        NOT_MEASURED,
        {"no_end", "incomplete_figures"},
        {"plug_in_hours": None, "idle_hours": None, "end_source": "none", "report_date": date(2019, 9, 5)},
    ),
    Hard(
        "over the spring change of the clocks",
        "2019-03-30T15:22",
        "2019-03-31T11:39",
        {},
        set(),
        {"plug_in_hours": number("20.283333"), "report_date": date(2019, 3, 31)},
    ),
    Hard(
        "over the autumn change of the clocks",
        "2019-10-26T15:22",
        "2019-10-27T11:39",
        {},
        set(),
        {"plug_in_hours": number("20.283333"), "report_date": date(2019, 10, 27)},
    ),
    Hard(
        "within the hour that comes twice",
        "2019-10-27T00:15",
        "2019-10-27T01:15",
        {"energy_charged_kwh": number("6"), "initial_soc_pct": number("70")},
        set(),
        {"plug_in_hours": number("1"), "report_date": date(2019, 10, 27)},
    ),
    Hard(
        "a month later by the local clock",
        "2019-11-30T23:56",
        "2019-12-01T08:57",
        {},
        set(),
        {"session_day": date(2019, 11, 30), "report_date": date(2019, 12, 1)},
    ),
    Hard(
        "over a month's end",
        "2019-08-31T18:28",
        "2019-09-01T07:01",
        {},
        set(),
        {"session_day": date(2019, 8, 31), "report_date": date(2019, 9, 1)},
    ),
    Hard(
        "over a year's end by the local clock alone",
        "2020-12-31T20:00",
        "2020-12-31T23:30",
        {"energy_charged_kwh": number("20")},
        set(),
        {"session_day": date(2020, 12, 31), "report_date": date(2021, 1, 1)},
    ),
    Hard(
        "on a leap day",
        "2024-02-29T10:00",
        "2024-02-29T22:30",
        {},
        set(),
        {"session_day": date(2024, 2, 29), "report_date": date(2024, 2, 29), "plug_in_hours": number("12.5")},
    ),
    Hard("five days and an hour", "2020-01-22T15:54", "2020-01-27T16:54", {}, {"long_stay"}, {"plug_in_hours": number("121")}),
    Hard("over 96 hours", "2020-02-22T15:54", "2020-02-26T16:54", {}, {"long_stay"}, {"plug_in_hours": number("97")}),
    Hard(
        "nearly no energy",
        "2018-12-21T01:01",
        "2018-12-21T06:45",
        {"energy_charged_kwh": number("0.07"), "actual_cost_eur": number("0.0029"), "actual_savings_eur": number("0.0003")}
        | {"initial_soc_pct": number("79.8")},
        {"little_energy"},
        {"flags": [], "implied_capacity_kwh": None},
    ),
    Hard(
        "much energy for a car",
        "2019-01-19T15:27",
        "2019-01-20T14:18",
        {"energy_charged_kwh": number("78.44"), "initial_soc_pct": number("2"), "actual_cost_eur": number("4.127")},
        set(),
        {"flags": []},
    ),
    Hard(
        "savings below zero",
        "2019-03-09T13:55",
        "2019-03-10T09:28",
        {"actual_savings_eur": number("-0.4114")},
        {"negative_savings"},
        {"flags": [], "actual_savings_eur": number("-0.4114"), "forecast_error_eur": number("-1.4114")},
    ),
    Hard(
        "paid to charge",
        "2019-12-07T14:49",
        "2019-12-09T08:10",
        {"actual_cost_eur": number("-0.5"), "actual_savings_eur": number("1.2")},
        {"negative_cost"},
        {"flags": [], "actual_cost_eur": number("-0.5"), "counterfactual_cost_eur": number("0.7")},
    ),
    Hard(
        "paid to charge at whatever hour",
        "2019-12-17T14:49",
        "2019-12-18T08:10",
        {"actual_cost_eur": number("-1.5"), "actual_savings_eur": number("0.5")},
        {"negative_cost", "no_counterfactual"},
        {"counterfactual_cost_eur": number("-1"), "savings_rate": None},
    ),
    Hard(
        "without states of charge",
        "2021-04-25T12:48",
        "2021-04-26T06:42",
        NO_SOC | NOT_MEASURED,
        {"incomplete_figures"},
        {"soc_gain_pct": None, "target_met": None, "implied_capacity_kwh": None},
    ),
    # As in Dundee.
    Hard(
        "energy below zero",
        "2018-08-31T08:51",
        "2018-08-31T09:18",
        NOTHING_CHARGED | {"energy_charged_kwh": number("-9.54"), "actual_cost_eur": number("0")},
        {"negative_energy", "incomplete_figures"},
        None,
    ),
    Hard(
        "1,430 kWh",
        "2018-08-14T14:41",
        "2018-08-15T08:02",
        NOTHING_CHARGED | {"energy_charged_kwh": number("1430.17"), "actual_cost_eur": number("0")},
        {"much_energy", "too_much_energy", "unit_slip", "incomplete_figures"},
        None,
    ),
    Hard("neither end nor energy", "2018-09-06T15:38", None, NOTHING_CHARGED, {"no_end"}, {"energy_charged_kwh": None}),
    # As APIs send it.
    Hard(
        "no energy",
        "2024-05-01T12:00",
        "2024-05-02T06:00",
        {"energy_charged_kwh": number("0"), "actual_cost_eur": number("0"), "actual_savings_eur": number("0")}
        | {"final_soc_pct": number("40"), "avg_charge_power_kw": None, "peak_charge_power_kw": None},
        {"zero_energy", "no_counterfactual"},
        {"charging_hours": None, "savings_rate": None},
    ),
    Hard(
        "states of charge as fractions",
        "2024-05-02T12:00",
        "2024-05-03T06:00",
        {"initial_soc_pct": number("0.4"), "final_soc_pct": number("0.8"), "target_soc_pct": number("0.8")},
        {"soc_as_fraction", "soc_out_of_range"},
        {"target_soc_pct": None, "target_met": None},
    ),
    Hard(
        "Wh for kWh",
        "2024-05-03T12:00",
        "2024-05-04T06:00",
        {"energy_charged_kwh": number("24000")},
        {"unit_slip", "much_energy", "too_much_energy", "energy_above_power", "charging_beyond_stay", "implausible_capacity"},
        None,
    ),
    Hard(
        "W for kW",
        "2024-05-04T12:00",
        "2024-05-05T06:00",
        {"avg_charge_power_kw": number("7000"), "peak_charge_power_kw": number("7000")},
        {"unit_slip", "unusual_peak"},
        None,
    ),
    Hard(
        "unplugged in 1970",
        "2024-05-05T12:00",
        "1970-01-01T00:00",
        {},
        {"sentinel_date", "ends_before_plug_in", "short_stay", "charging_beyond_stay"},
        None,
    ),
    Hard(
        "a deadline in the year 1",
        "2024-05-06T12:00",
        "2024-05-07T06:00",
        {"charge_deadline": at("0001-01-01T00:00")},
        {"sentinel_date", "deadline_out_of_reach"},
        None,
    ),
    Hard(
        "plugged in in the year 1",
        "0001-01-01T00:00",
        "2024-05-08T06:00",
        {"session_day": date(2024, 5, 7)},
        {"sentinel_date", "long_stay", "very_long_stay"},
        None,
    ),
    Hard(
        "unplugged in the year 9999",
        "2024-05-08T12:00",
        "9999-12-31T23:59",
        {},
        {"in_the_future", "long_stay", "very_long_stay"},
        None,
    ),
)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("hard") / "hard.duckdb").writing() as connection:
        yield connection


@dataclass(frozen=True)
class Outcome:
    """What became of rows, by session: the rules that each breaks, its derived row, and why it is kept out."""

    breaks: Mapping[UUID, set[str]]
    derived: Mapping[UUID, Row]
    reasons: Mapping[UUID, list[str]]


def outcome(connection: duckdb.DuckDBPyConnection, rows: Iterable[Row]) -> Outcome:
    """What becomes of these rows, and of no others."""
    empty(connection)
    insert(connection, RAW_SESSIONS, *(stored := list(rows)))
    insert(connection, RAW_TOUCHED_DAYS, *(touched(day) for day in {row["session_day"] for row in stored}))
    derive_days(connection, NO_DAY)
    verdicts = connection.execute(judged(Limits(), days="SELECT DISTINCT session_day FROM raw.sessions")).fetchall()
    return Outcome(
        {UUID(str(row["id"])): set() for row in stored}
        | {session_id: {*errors, *warnings, *infos} for _, session_id, _, _, errors, warnings, infos in verdicts},
        {row["id"]: row for row in rows_of(connection, ANALYTICS_SESSIONS)},
        {row["session_id"]: row["rules"] for row in rows_of(connection, RAW_QUARANTINE)},
    )


@pytest.fixture(scope="module")
def twins(warehouse: duckdb.DuckDBPyConnection) -> Outcome:
    return outcome(warehouse, [twin.row() for twin in TWINS])


@pytest.mark.parametrize("twin", TWINS, ids=[twin.name for twin in TWINS])
def test_a_hard_session_is_judged_and_measured_as_it_should_be(twins: Outcome, twin: Hard) -> None:
    key = uid(twin.name)
    assert twins.breaks[key] == twin.breaks
    row = twins.derived.get(key)
    assert (row is None) == (twin.derived is None) == (key in twins.reasons)
    if row is not None and twin.derived is not None:
        assert {name: row[name] for name in twin.derived} == twin.derived


# The real ones

# What a kind of hard session breaks; None: nothing that all of its kind do.
_KINDS = {
    "overlap_a": None,
    "overlap_b": None,
    "crosses_month": None,
    "utc_month_differs": None,
    "across_dst": None,
    "long_gt_96h": "long_stay",
    "negative_cost": "negative_cost",
    "negative_savings": "negative_savings",
    "energy_lt_0.1": "little_energy",
    "energy_gt_75": None,
    "soc_null": "incomplete_figures",
    "unplug_null": "no_end",
}


def typed(name: str, text: Any) -> object:  # noqa: ANN401 - JSON
    if text is None:
        return None
    types = {column.name: column.type for column in SESSION_FIELDS}
    return datetime.fromisoformat(text) if types[name] == "TIMESTAMPTZ" else text


@pytest.mark.skipif(not HARD.exists(), reason="the recorded sessions (../shared/data) are not on this machine")
def test_no_hard_norwegian_session_is_lost_and_each_breaks_the_rule_of_its_kind(warehouse: duckdb.DuckDBPyConnection) -> None:
    records = [json.loads(line, parse_float=Decimal) for line in HARD.read_text(encoding="utf-8").splitlines()]
    rows = [_norwegian(record) for record in records]
    became = outcome(warehouse, {row["id"]: row for row in rows}.values())
    assert became.reasons == {}
    assert became.derived.keys() == {UUID(record["id"]) for record in records}
    # The later ones of two; of one more the time shared is too short.
    assert sum("overlap" in broken for broken in became.breaks.values()) == 14
    for record in records:
        expected, key = _KINDS[record["_why"]], UUID(record["id"])
        assert expected is None or expected in became.breaks[key], record
        derived = became.derived[key]
        begin, end = (typed("unplug_time", record[name]) for name in ("plug_in_time", "unplug_time"))
        if isinstance(begin, datetime) and isinstance(end, datetime):
            assert derived["plug_in_hours"] == round(Decimal((end - begin).total_seconds()) / 3600, 6)
            assert derived["report_date"] == end.astimezone(ZoneInfo("Europe/Oslo")).date()


def _norwegian(record: Mapping[str, Any]) -> Row:
    fields = {column.name: typed(column.name, record[column.name]) for column in SESSION_FIELDS if column.name != "id"}
    day = date.fromisoformat(record["plug_in_time"][:10])
    keys = {name: record[name] for name in ("id", "electric_vehicle_id", "user_id", "org_id")}
    return session("", day=day, **{**fields, **keys, "time_zone": "Europe/Oslo"})


@pytest.mark.skipif(not DUNDEE.exists(), reason="the recorded sessions (../shared/data) are not on this machine")
def test_of_the_bad_rows_of_dundee_those_with_an_impossible_energy_are_kept_out_and_the_others_flagged(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    with DUNDEE.open(encoding="utf-8-sig", newline="") as file:
        records = list(csv.DictReader(file))
    became = outcome(warehouse, map(_of_dundee, records))
    for record in records:
        key, energy = uid(record["Charging event"]), Decimal(record["Total kWh"] or 0)
        if not record["End Date"]:
            assert became.derived[key]["flags"] == ["no_end"]
        else:
            assert ("unit_slip" if energy > 0 else "negative_energy") in became.breaks[key]
            assert became.reasons[key]
    assert len(became.reasons) == 9
    assert len(became.derived) == len(records) - 9


def _of_dundee(record: Mapping[str, str]) -> Row:
    begin = _british(record["Start Date"], record["Start Time"])
    end = _british(record["End Date"], record["End Time"]) if record["End Date"] else None
    figures = {"energy_charged_kwh": record["Total kWh"] or None, "actual_cost_eur": record["Cost"] or None}
    fields = {"plug_in_time": begin, "unplug_time": end, "time_zone": "Europe/London", **figures}
    return session(record["Charging event"], of=record["User ID"], day=begin.date(), **fields)


def _british(day: str, time: str) -> datetime:
    local = datetime.strptime(f"{day} {time}", "%d/%m/%Y %H:%M").replace(tzinfo=ZoneInfo("Europe/London"))
    return local.astimezone(UTC)
