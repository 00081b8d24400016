"""What breaks each quality rule and what just does not, and what becomes of a session that breaks some."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import duckdb
import pytest

from ev_sessions.limits import LIMITS, Limits
from ev_sessions.tables import (
    ANALYTICS_SESSIONS,
    RAW_QUARANTINE,
    RAW_SESSIONS,
    RAW_TOUCHED_DAYS,
    RAW_VEHICLES,
    RULE_HITS,
    SESSION_FIELDS,
)
from ev_sessions.warehouse import judging
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.rules import RULES, Severity
from ev_sessions_tests.raw_rows import DAY, Row, derive_days, empty, insert, kept_out, rows_of, session, touched, uid, vehicle
from ev_sessions_tests.rule_cases import AWAY, CASES, HOUR, MINUTE, ONE_DAY, SECOND, Case, Fields, fields_on

RULE = {rule.name: rule for rule in RULES}
JUDGED = [rule for rule in RULES if rule.breaks is not None]

# So that the sessions of one case are no neighbours of another's.
APART = 10 * ONE_DAY
# Before the days of the cases: what a test asks for is none of them.
ASKED_FOR = DAY + APART


@dataclass(frozen=True)
class Verdicts:
    """What is said of sessions of which each stands on a day of its own: names of rules.

    `hits` by session day, also warnings of what is kept out; `reasons` and `flags` by session, as derived tables have them.
    """

    hits: Mapping[date, set[str]]
    reasons: Mapping[UUID, set[str]]
    flags: Mapping[UUID, set[str]]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("rules") / "rules.duckdb").writing() as connection:
        yield connection


@pytest.fixture
def connection(warehouse: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    empty(warehouse)
    return warehouse


def add(connection: duckdb.DuckDBPyConnection, day: date, fields: Fields, *, of: str = "v1") -> UUID:
    """Insert the session of `day`: one as it should be but for `fields`. Its id."""
    insert(connection, RAW_SESSIONS, row := session_of(day, fields, of))
    return UUID(str(row["id"]))


def session_of(day: date, fields: Fields, of: str) -> Row:
    return session(f"{of} on {day}", of=of, day=day, **fields_on(day, fields))


def judged(connection: duckdb.DuckDBPyConnection, limits: Mapping[str, str] | None = None) -> Verdicts:
    """What comes of deriving every day with a session."""
    connection.execute("DELETE FROM raw.touched_days")
    days = {row["session_day"] for row in rows_of(connection, RAW_SESSIONS)}
    insert(connection, RAW_TOUCHED_DAYS, *map(touched, days))
    derive_days(connection, ASKED_FOR, limits=Limits.of(limits or {}))
    query = judging.judged(Limits.of(limits or {}), days="SELECT DISTINCT session_day FROM raw.sessions")
    broken = connection.execute(f"SELECT session_day, errors || warnings || infos FROM ({query})").fetchall()
    hits: dict[date, set[str]] = {}
    for day, names in broken:
        hits.setdefault(day, set()).update(names)
    return Verdicts(
        hits,
        {row["session_id"]: set(row["rules"]) for row in rows_of(connection, RAW_QUARANTINE)},
        {row["id"]: set(row["flags"]) for row in rows_of(connection, ANALYTICS_SESSIONS)},
    )


# Every case, under the limits as they are and under others


def day_of(number: int, *, sparing: bool = False) -> date:
    """The day of a case's session that breaks its rule, or of the one that does not."""
    return DAY - (2 * number + sparing) * APART


def add_cases(connection: duckdb.DuckDBPyConnection) -> None:
    empty(connection)
    sides = [side for number, case in enumerate(CASES) for side in sides_of(number, case)]
    insert(connection, RAW_VEHICLES, *(row for vehicles, _ in sides for row in vehicles))
    insert(connection, RAW_SESSIONS, *(row for _, sessions in sides for row in sessions))


def sides_of(number: int, case: Case) -> Iterator[tuple[list[Row], list[Row]]]:
    """The vehicles and the sessions of the case: those that break its rule, and those that do not."""
    yield side(day_of(number), case.breaks, case.of_vehicle, case.neighbour)
    yield side(
        day_of(number, sparing=True),
        case.spares,
        case.of_vehicle if case.of_sparing_vehicle is None else case.of_sparing_vehicle,
        case.neighbour if case.sparing_neighbour is None else case.sparing_neighbour,
    )


def side(day: date, fields: Fields, of_vehicle: Fields, neighbour: Fields) -> tuple[list[Row], list[Row]]:
    name = f"vehicle of {day}"
    about = fields_on(day, of_vehicle)
    sessions = [session_of(day, fields, name)]
    if neighbour:
        # Its plug-in counts from the noon of the case's day, its own day is the one before.
        begin = fields_on(day, {"plug_in_time": neighbour["plug_in_time"]})["plug_in_time"]
        sessions.append(session_of(day - ONE_DAY, {**neighbour, "plug_in_time": begin}, name))
    return [vehicle(name, **{column: about[column] for column in of_vehicle})], sessions


@pytest.fixture(scope="module")
def verdicts(warehouse: duckdb.DuckDBPyConnection) -> Verdicts:
    add_cases(warehouse)
    return judged(warehouse)


@pytest.fixture(scope="module")
def relaxed_verdicts(warehouse: duckdb.DuckDBPyConnection) -> Verdicts:
    add_cases(warehouse)
    return judged(warehouse, {case.limit: case.relaxed for case in CASES if case.limit})


def test_every_rule_about_a_session_has_a_case() -> None:
    assert {case.rule for case in CASES} == {rule.name for rule in JUDGED}


def test_every_limit_of_a_rule_about_a_session_has_a_case() -> None:
    assert {(case.rule, case.limit) for case in CASES if case.limit} == {
        (rule.name, name) for rule in JUDGED for name in rule.limits
    }


@pytest.mark.parametrize(("number", "case"), list(enumerate(CASES)), ids=[case.name for case in CASES])
def test_a_session_breaks_the_rule_and_one_just_within_it_does_not(verdicts: Verdicts, number: int, case: Case) -> None:
    assert case.rule in verdicts.hits.get(day_of(number), ())
    assert case.rule not in verdicts.hits.get(day_of(number, sparing=True), ())


RELAXED = [(number, case) for number, case in enumerate(CASES) if case.limit]


@pytest.mark.parametrize(("number", "case"), RELAXED, ids=[case.name for _, case in RELAXED])
def test_a_session_that_breaks_a_rule_does_not_under_another_limit(relaxed_verdicts: Verdicts, number: int, case: Case) -> None:
    assert case.rule not in relaxed_verdicts.hits.get(day_of(number), ())


def test_errors_keep_out_warnings_are_flags_and_information_is_only_counted(verdicts: Verdicts) -> None:
    for number, case in enumerate(CASES):
        day = day_of(number)
        found = verdicts.hits[day]
        session_id = uid(f"vehicle of {day} on {day}")
        errors = {name for name in found if RULE[name].severity is Severity.ERROR}
        warnings = {name for name in found if RULE[name].severity is Severity.WARN}
        assert verdicts.reasons.get(session_id, set()) == errors, case
        assert verdicts.flags.get(session_id) == (None if errors else warnings), case


@pytest.mark.parametrize("value", ["999999.999999", "-999999.999999", "0", "0.000001", "12.5"])
def test_no_limit_makes_judging_fail(connection: duckdb.DuckDBPyConnection, value: str) -> None:
    add_cases(connection)
    judged(connection, {limit.name: value for limit in LIMITS})
    assert len(rows_of(connection, ANALYTICS_SESSIONS)) + len(rows_of(connection, RAW_QUARANTINE)) == len(
        rows_of(connection, RAW_SESSIONS)
    )


# One session


def test_a_session_as_it_should_be_breaks_no_rule(connection: duckdb.DuckDBPyConnection) -> None:
    insert(connection, RAW_VEHICLES, vehicle("v1", created_at=fields_on(DAY, {})["plug_in_time"], battery_capacity_kwh=60))
    session_id = add(connection, DAY, {})
    assert judged(connection) == Verdicts({}, {}, {session_id: set()})


@pytest.mark.parametrize("name", [field.name for field in SESSION_FIELDS if not field.required])
def test_what_is_not_known_of_a_session_keeps_it_in(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    session_id = add(connection, DAY, {name: None})
    figures = {"actual_cost_eur", "actual_savings_eur", "energy_charged_kwh"}
    assert judged(connection).flags == {session_id: {"incomplete_figures"} if name in figures else set()}


def test_a_session_of_which_nothing_but_its_beginning_is_known_lacks_an_end_and_nothing_else(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    session_id = add(connection, DAY, {field.name: None for field in SESSION_FIELDS if not field.required})
    assert judged(connection).flags == {session_id: {"no_end"}}


@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_of_any_size_are_judged(connection: duckdb.DuckDBPyConnection, sign: int) -> None:
    numbers = [field.name for field in SESSION_FIELDS if field.type.startswith("DECIMAL")]
    session_id = add(connection, DAY, dict.fromkeys(numbers, sign * Decimal("999999999999.999999")))
    verdicts = judged(connection)
    assert {"unit_slip", "impossible_cost"} & verdicts.reasons[session_id] == ({"unit_slip"} if sign == 1 else set())
    assert ("negative_energy" in verdicts.reasons[session_id]) == (sign == -1)


def test_the_largest_numbers_are_judged_by_the_largest_limits(connection: duckdb.DuckDBPyConnection) -> None:
    largest = Decimal("999999999999.999999")
    numbers = [field.name for field in SESSION_FIELDS if field.type.startswith("DECIMAL")]
    insert(connection, RAW_VEHICLES, vehicle("v1", battery_capacity_kwh=largest))
    ends = {"plug_in_time": datetime(1, 1, 1, tzinfo=UTC), "unplug_time": datetime(9999, 12, 31, tzinfo=UTC)}
    charge = {"initial_soc_pct": Decimal(0), "final_soc_pct": Decimal("999999.999999")}
    session_id = add(connection, DAY, {**dict.fromkeys(numbers, largest), **ends, **charge})
    lowest = re.compile("min|first_year")
    verdicts = judged(connection, {limit.name: "999999.999999" for limit in LIMITS if not lowest.search(limit.name)})
    assert {"sentinel_date", "unit_slip"} <= verdicts.reasons[session_id]


def test_a_session_that_an_error_keeps_out_is_listed_with_its_payload_and_every_reason(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    session_id = add(connection, DAY, {"energy_charged_kwh": Decimal("-1.5"), "unplug_time": -HOUR, "inferred_session_end": None})
    judged(connection)
    (entry,) = rows_of(connection, RAW_QUARANTINE)
    assert entry["reasons"] == [
        "ends_before_plug_in: The end lies before plug-in",
        "negative_energy: Energy below 0",
    ]
    assert [reason.partition(":")[0] for reason in entry["reasons"]] == entry["rules"]
    assert (entry["record_key"], entry["session_id"]) == (str(session_id), session_id)
    assert (entry["in_sessions"], entry["electric_vehicle_id"]) == (True, uid("v1"))
    assert (entry["first_day"], entry["last_day"]) == (DAY, DAY)
    payload = json.loads(entry["payload"], parse_float=Decimal)
    assert payload.keys() == {field.name for field in SESSION_FIELDS}
    assert (payload["id"], payload["energy_charged_kwh"], payload["inferred_session_end"]) == (
        str(session_id),
        Decimal("-1.5"),
        None,
    )
    assert rows_of(connection, ANALYTICS_SESSIONS) == []
    (standing,) = rows_of(connection, RAW_SESSIONS)
    assert standing["energy_charged_kwh"] == Decimal("-1.5")


def test_a_reason_names_the_limit_that_was_broken(connection: duckdb.DuckDBPyConnection) -> None:
    add(connection, DAY, {"energy_charged_kwh": Decimal(90), "peak_charge_power_kw": Decimal(11)})
    judged(connection, {"energy_too_much_kwh": "80.50"})
    (entry,) = rows_of(connection, RAW_QUARANTINE)
    assert entry["reasons"] == ["too_much_energy: More than 80.50 kWh"]


def test_every_session_that_breaks_a_rule_counts_on_its_day(connection: duckdb.DuckDBPyConnection) -> None:
    for number in range(3):
        add(connection, DAY, {"energy_charged_kwh": Decimal(number)}, of=f"v{number}")
        add(connection, DAY + ONE_DAY, {"energy_charged_kwh": Decimal(-number)}, of=f"v{number}")
    judged(connection)
    hits = {(row["session_day"], row["rule"]): row["hits"] for row in rows_of(connection, RULE_HITS)}
    assert {key: count for key, count in hits.items() if key[1] in {"zero_energy", "negative_energy"}} == {
        (DAY, "zero_energy"): 1,
        (DAY + ONE_DAY, "zero_energy"): 1,
        (DAY + ONE_DAY, "negative_energy"): 2,
    }


def test_the_hits_of_a_warning_are_the_sessions_that_it_flags(connection: duckdb.DuckDBPyConnection) -> None:
    add(connection, DAY, {"energy_charged_kwh": Decimal(-1), "actual_cost_eur": None}, of="v1")
    add(connection, DAY, {"actual_cost_eur": None}, of="v2")
    judged(connection)
    assert {row["rule"]: row["hits"] for row in rows_of(connection, RULE_HITS)} == {"negative_energy": 1, "incomplete_figures": 1}


def test_the_hits_of_a_rule_say_what_the_rule_is(connection: duckdb.DuckDBPyConnection) -> None:
    add(connection, DAY, {"energy_charged_kwh": Decimal(-1)})
    judged(connection)
    hits = [row for row in rows_of(connection, RULE_HITS) if row["rule"] == "negative_energy"]
    assert [(row["family"], row["severity"], row["derived_by_run_id"]) for row in hits] == [("energy", "error", "derive")]


def test_records_that_could_not_be_typed_or_lay_outside_the_days_asked_for_are_counted(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    reasons = ["malformed: not an object", "malformed: no id", "outside_window: its plug_in_time falls on 2020-01-01"]
    insert(connection, RAW_QUARANTINE, *(kept_out(reason, reasons=[reason]) for reason in reasons))
    derive_days(connection, DAY)
    assert {row["rule"]: row["hits"] for row in rows_of(connection, RULE_HITS)} == {"malformed": 2, "outside_window": 1}
    assert len(rows_of(connection, RAW_QUARANTINE)) == 3


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [("initial_soc_pct", "-1", "soc_gain_pct"), ("final_soc_pct", "101", "soc_gain_pct"), ("target_soc_pct", "0", "target_met")],
)
def test_a_state_of_charge_out_of_range_is_unknown_where_it_is_derived_and_stays_where_it_was_read(
    connection: duckdb.DuckDBPyConnection, name: str, value: str, field: str
) -> None:
    session_id = add(connection, DAY, {name: Decimal(value)})
    verdicts = judged(connection)
    (derived,) = rows_of(connection, ANALYTICS_SESSIONS)
    (raw,) = rows_of(connection, RAW_SESSIONS)
    assert (derived[name], derived[field], raw[name]) == (None, None, Decimal(value))
    others = {"initial_soc_pct", "final_soc_pct", "target_soc_pct"} - {name}
    assert all(derived[other] == raw[other] for other in others)
    assert verdicts.flags[session_id] == {"soc_out_of_range"}


# Numbers that lie on a limit to the last digit


def of_price(money: str, price: str) -> dict[str, str]:
    return {"energy_charged_kwh": "0.01 * number", money: f"0.01 * number * {price}"}


def of_capacity(kwh: str) -> dict[str, str]:
    gain = "(10 + 0.04 * number)"
    return {"initial_soc_pct": "0", "final_soc_pct": gain, "energy_charged_kwh": f"{gain} * 0.01 * {kwh}"}


@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        *(("unusual_cost", of_price("actual_cost_eur", price)) for price in ("-0.5", "1.0")),
        *(("impossible_cost", of_price("actual_cost_eur", price)) for price in ("-1", "5")),
        *(("unusual_savings", of_price("actual_savings_eur", price)) for price in ("-0.60", "0.60")),
        *(("implausible_capacity", of_capacity(kwh)) for kwh in ("5", "150")),
        *(("capacity_unlike_vehicle", of_capacity(f"60 * {ratio}")) for ratio in ("0.7", "1.3")),
        ("mean_above_peak", {"peak_charge_power_kw": "0.01 * number", "avg_charge_power_kw": "0.01 * number * 1.02"}),
        ("energy_above_power", {"peak_charge_power_kw": "7.4", "energy_charged_kwh": "0.01 * number * 7.4 * 1.1"}),
        ("charging_beyond_stay", {"avg_charge_power_kw": "1", "energy_charged_kwh": "0.01 * number + 0.1"}),
    ],
)
def test_what_lies_on_a_limit_is_within_it_whatever_the_numbers(
    connection: duckdb.DuckDBPyConnection, rule: str, fields: Mapping[str, str]
) -> None:
    own = {
        "id": "uuid()",
        "electric_vehicle_id": "md5(number::VARCHAR)::UUID",
        "unplug_time": "plug_in_time + number * INTERVAL 36 SECOND",
        **fields,
    }
    insert(connection, RAW_VEHICLES, vehicle("v1", battery_capacity_kwh=60))
    add(connection, DAY, {})
    for table, changed in (("vehicles", {"electric_vehicle_id"}), ("sessions", own.keys())):
        replaced = ", ".join(f"{own[name]} AS {name}" for name in sorted(changed))
        connection.execute(
            f"INSERT INTO raw.{table} SELECT alike.* REPLACE ({replaced}) FROM raw.{table} AS alike, range(1, 2000) AS _(number)"
        )
    derive_days(connection, DAY)
    assert rule not in {row["rule"] for row in rows_of(connection, RULE_HITS)}


# Price zones


@pytest.mark.parametrize(
    ("limits", "kept_in"),
    [
        ({}, []),
        ({"cost_impossible_max": "9"}, ["SE_1", "PT", None]),
        ({"SE_1:cost_impossible_max": "9"}, ["SE_1"]),
        ({"SE_1:cost_impossible_max": "9", "PT:cost_impossible_max": "9"}, ["SE_1", "PT"]),
        ({"cost_impossible_max": "9", "SE_1:cost_impossible_max": "7.9"}, ["PT", None]),
    ],
)
def test_a_price_zone_can_have_price_limits_of_its_own(
    connection: duckdb.DuckDBPyConnection, limits: Mapping[str, str], kept_in: Sequence[str | None]
) -> None:
    for zone in ("SE_1", "PT", None):
        add(
            connection,
            DAY,
            {"price_zone": zone, "energy_charged_kwh": Decimal(1), "actual_cost_eur": Decimal(8)},
            of=f"in {zone}",
        )
    judged(connection, limits)
    assert Counter(row["price_zone"] for row in rows_of(connection, ANALYTICS_SESSIONS)) == Counter(kept_in)


# Neighbours


def stay(begin: timedelta, end: timedelta, **others: object) -> Fields:
    """A session plugged in and unplugged so long after the noon of its day."""
    return {"plug_in_time": begin, "unplug_time": end - begin, "inferred_session_end": None, "charge_deadline": None, **others}


def test_of_sessions_that_are_one_counted_twice_the_one_seen_first_stays(connection: duckdb.DuckDBPyConnection) -> None:
    seen = fields_on(DAY + 60 * ONE_DAY, {})["plug_in_time"]
    late = add(connection, DAY, stay(SECOND, AWAY, first_seen_at=seen + HOUR))
    first = add(connection, DAY + ONE_DAY, stay(-7 * HOUR, AWAY, first_seen_at=seen))
    verdicts = judged(connection)
    assert verdicts.reasons == {late: {"counted_twice"}}
    assert set(verdicts.flags) == {first}


def test_of_those_seen_at_once_the_one_plugged_in_first_stays(connection: duckdb.DuckDBPyConnection) -> None:
    first = add(connection, DAY, stay(HOUR, AWAY))
    second = add(connection, DAY + ONE_DAY, stay(-23 * HOUR + SECOND, AWAY))
    verdicts = judged(connection)
    assert (verdicts.reasons, set(verdicts.flags)) == ({second: {"counted_twice"}}, {first})


def test_sessions_of_different_vehicles_are_no_neighbours(connection: duckdb.DuckDBPyConnection) -> None:
    for name in ("v1", "v2"):
        add(connection, DAY, {}, of=name)
    assert judged(connection).hits == {}


def test_a_session_that_an_error_keeps_out_is_nobodys_neighbour(connection: duckdb.DuckDBPyConnection) -> None:
    kept = add(connection, DAY, {})
    out = add(connection, DAY + ONE_DAY, stay(-18 * HOUR, AWAY, energy_charged_kwh=Decimal(-1)))
    verdicts = judged(connection)
    assert (verdicts.flags, set(verdicts.reasons)) == ({kept: set()}, {out})


def test_a_neighbour_a_week_away_is_found(connection: duckdb.DuckDBPyConnection) -> None:
    add(connection, DAY, stay(-11 * HOUR, 6 * ONE_DAY + 13 * HOUR))
    add(connection, DAY + 7 * ONE_DAY, stay(-11 * HOUR - 6 * MINUTE, AWAY, energy_charged_kwh=Decimal(20)))
    assert "overlap" in judged(connection).hits[DAY + 7 * ONE_DAY]


def test_neighbours_of_the_days_asked_for_are_found_on_days_that_are_not_derived(connection: duckdb.DuckDBPyConnection) -> None:
    for day, fields in ((DAY, {}), (DAY + ONE_DAY, stay(-7 * HOUR, AWAY, energy_charged_kwh=Decimal(20)))):
        insert(connection, RAW_SESSIONS, session(str(day), day=day, **fields_on(day, fields)))
    derive_days(connection, DAY + ONE_DAY, limits=Limits())
    (row,) = rows_of(connection, ANALYTICS_SESSIONS)
    assert (row["session_day"], row["flags"]) == (DAY + ONE_DAY, ["overlap"])
