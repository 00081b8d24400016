"""What sessions of a vehicle tell of each other, beside a plain computation of the same: every pair, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from uuid import UUID

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_sessions.limits import Limits
from ev_sessions.tables import RAW_QUARANTINE, RAW_SESSIONS
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.judging import judged
from ev_sessions.warehouse.rules import NEIGHBOUR_DAYS, RULES, Family
from ev_sessions_tests.raw_rows import DAY, NOW, Row, empty, insert, kept_out, session

MINUTE, HOUR, ONE_DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SEQUENCE = {rule.name for rule in RULES if rule.family is Family.SEQUENCE}

Verdicts = dict[UUID, set[str]]


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("neighbours") / "neighbours.duckdb").writing() as connection:
        yield connection


_lengths = st.sampled_from([None, -HOUR, 4 * MINUTE, 5 * HOUR, 11 * HOUR + 55 * MINUTE, 12 * HOUR, 26 * HOUR, 150 * HOUR])
_plug_ins = st.sampled_from([-12 * HOUR, timedelta(0), 2 * MINUTE, 5 * HOUR])


@st.composite
def _rows(draw: st.DrawFn) -> list[Row]:
    """Sessions of two vehicles within three weeks, of which many share time, follow one another or were seen at once."""
    rows = []
    for number in range(draw(st.integers(2, 12))):
        row = session(
            str(number), of=draw(st.sampled_from(["v1", "v1", "v1", "v2"])), day=DAY + draw(st.integers(0, 20)) * ONE_DAY
        )
        begin, length = row["plug_in_time"] + draw(_plug_ins), draw(_lengths)
        rows.append(
            row
            | {
                "plug_in_time": begin,
                "unplug_time": None if length is None else begin + length,
                "first_seen_at": NOW - draw(st.integers(0, 1)) * HOUR,
                "energy_charged_kwh": draw(st.sampled_from([None, Decimal(5), Decimal(5), Decimal(6)])),
                "initial_soc_pct": draw(st.sampled_from([None, Decimal(42), Decimal("42.1")])),
                "final_soc_pct": draw(st.sampled_from([None, Decimal(40), Decimal(90)])),
            }
        )
    return rows


@given(rows=_rows(), some=st.sets(st.integers(0, 20), min_size=1), unusable=st.sets(st.integers(0, 11), max_size=2))
@settings(max_examples=25, deadline=None)
def test_sessions_tell_of_each_other_what_a_look_at_every_pair_tells_whichever_days_are_judged(
    connection: duckdb.DuckDBPyConnection, rows: list[Row], some: set[int], unusable: set[int]
) -> None:
    empty(connection)
    insert(connection, RAW_SESSIONS, *rows)
    out = [row for number, row in enumerate(rows) if number in unusable]
    insert(connection, RAW_QUARANTINE, *(listed(row, clashes=number % 2 == 0) for number, row in enumerate(out)))
    sound = [row for row in rows if row not in out and is_sound(row)]
    days = {DAY + number * ONE_DAY for number in some}
    assert found(connection, days) == {row["id"]: expected(row, sound) for row in rows if row["session_day"] in days}


def listed(row: Row, *, clashes: bool) -> Row:
    """The entry in quarantine of a session that the landing found under two vehicles, or that came in no usable form since."""
    return kept_out(
        str(row["id"]),
        first=row["session_day"],
        reasons=["id_of_two_vehicles: ...", "long_since_mended: ..."] if clashes else ["malformed: not an object"],
        in_sessions=clashes,
        electric_vehicle_id=row["electric_vehicle_id"],
    )


def test_of_a_chain_of_equal_sessions_each_is_counted_once(connection: duckdb.DuckDBPyConnection) -> None:
    assert counted_twice(connection, stay("a", 0, 8), stay("b", 7, 15), stay("c", 14, 22)) == ["b"]
    assert counted_twice(connection, stay("a", 0, 8), stay("b", 7, 15), stay("c", 14, 22), stay("d", 21, 29)) == ["b", "d"]
    assert counted_twice(connection, *(stay(name, 0, 8) for name in "abcd")) == ["b", "c", "d"]


def test_what_was_counted_twice_stands_between_no_others(connection: duckdb.DuckDBPyConnection) -> None:
    first, repeated, last = stay("a", 0, 8), stay("b", 7, 15), stay("c", 16, 20)
    charged = {"final_soc_pct": Decimal(40)}, {"final_soc_pct": Decimal(90)}, {"initial_soc_pct": Decimal(60)}
    empty(connection)
    insert(connection, RAW_SESSIONS, *(row | more for row, more in zip((first, repeated, last), charged, strict=True)))
    verdicts = found(connection, {first["session_day"]})
    assert verdicts == {first["id"]: set(), repeated["id"]: {"counted_twice"}, last["id"]: {"session_missing"}}


def counted_twice(connection: duckdb.DuckDBPyConnection, *rows: Row) -> list[str]:
    """The names of those that only repeat another."""
    empty(connection)
    insert(connection, RAW_SESSIONS, *rows)
    verdicts = found(connection, {row["session_day"] for row in rows})
    return [row["content_hash"] for row in rows if "counted_twice" in verdicts[row["id"]]]


def stay(name: str, begin: int, end: int) -> Row:
    """A session from one hour to another, seen in the order of the names."""
    midnight = NOW.replace(year=DAY.year, month=DAY.month, day=DAY.day, hour=0, minute=0, second=0, microsecond=0)
    return session(
        name,
        plug_in_time=midnight + begin * HOUR,
        unplug_time=midnight + end * HOUR,
        energy_charged_kwh=Decimal(5),
        first_seen_at=NOW + ord(name) * MINUTE,
        content_hash=name,
    )


def found(connection: duckdb.DuckDBPyConnection, days: set[date]) -> Verdicts:
    """The rules about neighbours that each session of `days` breaks."""
    listed = ", ".join(f"('{day}'::DATE)" for day in days)
    query = judged(Limits(), days=f"SELECT * FROM (VALUES {listed}) AS days(session_day)")
    rows = connection.execute(f"SELECT id, errors || warnings || infos FROM ({query})").fetchall()
    ids = connection.execute(
        "SELECT id FROM raw.sessions WHERE list_contains($days, session_day)", {"days": list(days)}
    ).fetchall()
    assert len({key for key, _ in rows}) == len(rows)
    return {key: set() for (key,) in ids} | {key: SEQUENCE & set(names) for key, names in rows}


def expected(row: Row, sound: Sequence[Row]) -> set[str]:
    """The same, told by every pair of those that nothing else keeps out."""
    if row not in sound:
        return set()
    if not stays(row, sound):
        return {"counted_twice"}
    others = [other for other in sound if other is not row and are_near(row, other) and stays(other, sound)]
    sharing = [other for other in others if share_time(row, other)]
    before = max((other for other in others if order(other) < order(row)), key=order, default=None)
    return {
        name
        for name, broken in {
            "overlap": any(begun(other) < begun(row) for other in sharing),
            "split_stay": before is not None and is_split(before, row),
            "session_missing": before is not None and is_gap(before["final_soc_pct"], row["initial_soc_pct"]),
        }.items()
        if broken
    }


def stays(row: Row, sound: Sequence[Row]) -> bool:
    """Whether it is one of those that stay, of the sessions near it: one after the other, as they were seen."""
    staying: list[Row] = []
    for other in sorted((other for other in sound if are_near(row, other)), key=seen):
        if not any(share_time(other, former) and same_energy(other, former) and are_near(other, former) for former in staying):
            staying.append(other)
    return row in staying


def is_sound(row: Row) -> bool:
    """Whether it breaks no error rule by itself: of those only ends before plug-in occur here."""
    return row["unplug_time"] is None or row["unplug_time"] >= row["plug_in_time"]


def are_near(one: Row, other: Row) -> bool:
    apart = abs(one["session_day"] - other["session_day"])
    return bool(one["electric_vehicle_id"] == other["electric_vehicle_id"] and apart <= NEIGHBOUR_DAYS * ONE_DAY)


def share_time(one: Row, other: Row) -> bool:
    if one["unplug_time"] is None or other["unplug_time"] is None:
        return False
    shared = min(one["unplug_time"], other["unplug_time"]) - max(one["plug_in_time"], other["plug_in_time"])
    return bool(shared > 5 * MINUTE)


def same_energy(one: Row, other: Row) -> bool:
    return one["energy_charged_kwh"] is not None and one["energy_charged_kwh"] == other["energy_charged_kwh"]


def is_split(before: Row, row: Row) -> bool:
    end = before["unplug_time"]
    return end is not None and bool(timedelta(0) <= row["plug_in_time"] - end <= 5 * MINUTE)


def is_gap(final: Decimal | None, initial: Decimal | None) -> bool:
    return final is not None and initial is not None and initial > final + 2


def order(row: Row) -> tuple[object, ...]:
    return row["session_day"], row["plug_in_time"], row["id"]


def begun(row: Row) -> tuple[object, ...]:
    return row["plug_in_time"], row["id"]


def seen(row: Row) -> tuple[object, ...]:
    return row["first_seen_at"], row["plug_in_time"], row["id"]
