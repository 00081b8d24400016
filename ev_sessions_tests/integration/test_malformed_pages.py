"""Pages with faults of every kind, all the way into the tables: nothing stops, and nothing is lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ev_sessions.days import DayRange
from ev_sessions.ingest.batch import Batch, VehicleRead
from ev_sessions.ingest.plan import VehicleWindow
from ev_sessions.limits import Limits
from ev_sessions.partner_api import SessionAnswer, UnreadableAnswer
from ev_sessions.partner_api.paging import ListRead
from ev_sessions.partner_api.records import Page, read_page
from ev_sessions.settings import SessionDay
from ev_sessions.stage.parts import WindowStage
from ev_sessions.tables import SESSION_FIELDS
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.landing import land
from ev_sessions.warehouse.rules import RULES, Severity
from ev_sessions_tests.raw_rows import derive_days, empty, uid

PAGES_AT_ONCE = 100
TIMES = 20
WINDOW = DayRange(date(2024, 2, 28), date(2024, 3, 1))
READ_AT = datetime(2024, 3, 20, 3, 15, tzinfo=UTC)
ORG = uid("org")

ERRORS = {rule.name for rule in RULES if rule.severity is Severity.ERROR}

# To shrink so many pages takes minutes and tells little more.
WITHOUT_SHRINKING = [Phase.explicit, Phase.reuse, Phase.generate]

# A record is a list of names with JSON texts: a name may stand twice, and a text need not be JSON.
Record = list[tuple[str, str]]
# A vehicle and an id, or what stands for one.
Key = tuple[Any, ...]

# Of every vehicle in turn, and one that many have.
_OWN = "-8000-000000000000"
_IDS = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(1, 5)]
_SHARED_ID = "ffffffff-0000-4000-8000-00000000ffff"
_PLUG_INS = ("2024-02-28T00:00:00Z", "2024-02-29T12:00:00Z", "2024-03-01T23:59:59.999999Z", "2024-03-01T01:30:00+02:00")
_FINE = {
    "UUID": '"00000000-0000-0000-0000-000000000001"',
    "TIMESTAMPTZ": '"2024-03-01T06:00:00Z"',
    "DECIMAL(18,6)": "12.5",
    "BOOLEAN": "true",
    "VARCHAR": '"not_at_home"',
}

_stamps = st.sampled_from(
    [
        "2024-02-29T24:00:00Z",
        "2024-02-30T00:00:00Z",
        "2024-02-29T23:59:60Z",
        "2024-03-01T06:00:00",
        "2024-03-01",
        "2024-03-01 06:00:00Z",
        "2024-03-01t06:00:00z",
        "2024-03-01T06:00:00+25:00",
        "2024-03-01T06:00:00.123456789Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "1970-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-14:00",
        "10000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
        "1709272800",
        "",
    ]
).map(json.dumps)
_numbers = st.sampled_from(
    [
        "0", "-0.0", "-1", "0.4", "1e3", "99.9999995", "999999999999.999999", "-999999999999.999999", "1000000000000",
        "1e400", "1e-400", "-1E+12", "123456789012345678901234567890", "NaN", "Infinity", "-Infinity",
        '"12.5"', '"NaN"', '"12,5"',
    ]
)  # fmt: skip
_texts = st.one_of(
    st.sampled_from(['"\\ud83d"', '"\\ude00\\ud83d"', '"\\u0000"', '"a\nb"', '"\\"id\\":1"', '"null"']),
    st.text(st.characters(codec="utf-8"), max_size=8).map(json.dumps),
    st.text(st.characters(), max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
)
_nested = st.recursive(
    st.sampled_from(["null", "true", "1", '"x"', "[]", "{}"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda texts: f"[{','.join(texts)}]"),
        st.lists(inner, max_size=3).map(lambda texts: "{" + ",".join(f'"{n}":{t}' for n, t in enumerate(texts)) + "}"),
    ),
    max_leaves=6,
)
_values = st.one_of(st.sampled_from(["null", "true", "false", "0"]), _stamps, _numbers, _texts, _nested)
# After which nobody can tell where the next record begins: these cost the page.
_no_json = st.sampled_from(["", '"', "'x'", '"\\x"', "0x10", "01", "1.", "+1", "{", "]", "[" * 2_000 + "]" * 2_000])
_names = st.sampled_from([column.name for column in SESSION_FIELDS])
_unknown_names = st.sampled_from(["tariff", "extra", "(extra)", "Id", "id ", "", "ü", "driver_name", "in_sessions", "a\\u0062"])


@st.composite
def _records(draw: st.DrawFn) -> str:
    """The text of a record: one as it should be, with a few faults."""
    record: Record = [(column.name, _FINE[column.type]) for column in SESSION_FIELDS]
    record[0] = ("id", f'"{draw(st.sampled_from([*_IDS, *_IDS, _SHARED_ID]))}"')
    record[1] = ("plug_in_time", f'"{draw(st.sampled_from(_PLUG_INS))}"')
    for _ in range(draw(st.integers(0, 3))):
        record = _spoilt(record, draw)
    return "{" + ",".join(f'"{name}":{text}' for name, text in record) + "}"


def _spoilt(record: Record, draw: st.DrawFn) -> Record:
    kind = draw(st.sampled_from([*["value"] * 12, *["missing", "twice", "unknown", "unknown"] * 2, "no json"]))
    match kind:
        case "value" | "no json":
            name, text = draw(_names), draw(_values if kind == "value" else _no_json)
            return [(own, text if own == name else value) for own, value in record]
        case "missing":
            name = draw(_names)
            return [(own, value) for own, value in record if own != name]
        case "twice":
            return [*record, (draw(_names), draw(_values))]
        case _:
            return [*record, (draw(_unknown_names), draw(_values))]


_odd_records = st.sampled_from(["null", "7", '"session"', "[]", "{}", "true", "[{}]", "NaN"])
_pages = st.lists(st.one_of(_records(), _records(), _records(), _odd_records), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("malformed") / "malformed.duckdb").writing() as connection:
        yield connection


@dataclass(frozen=True)
class Answered:
    """A page of each vehicle: the bodies. What a failing test shows of them is what it looks for."""

    bodies: Sequence[bytes] = field(repr=False)


_answered = st.lists(_pages, min_size=PAGES_AT_ONCE, max_size=PAGES_AT_ONCE).map(
    lambda pages: Answered([body_of(records, number) for number, records in enumerate(pages)])
)


# Where it fails, Hypothesis wants to print the pages; the assertion says more.
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@given(answered=_answered)
@settings(max_examples=TIMES, deadline=None, phases=WITHOUT_SHRINKING, suppress_health_check=list(HealthCheck))
def test_every_record_of_two_thousand_malformed_pages_stands_or_is_quarantined_with_a_reason(
    connection: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory, answered: Answered
) -> None:
    empty(connection)
    bodies = answered.bodies
    land_answers(connection, tmp_path_factory.mktemp("part"), [answer_in(body) for body in bodies])
    require_all_kept(connection, bodies)

    derive_days(connection, WINDOW.first, WINDOW.last, limits=Limits())
    require_all_kept(connection, bodies)
    require_derived_or_quarantined(connection)


def vehicle_id(number: int) -> UUID:
    return uid(f"vehicle {number}")


def body_of(records: Sequence[str], number: int) -> bytes:
    """The page with these records, the ids in it made those of the vehicle with that number."""
    body = f'{{"total": {len(records)}, "items": [{",".join(records)}]}}'
    return body.replace(_OWN, f"-8000-{number:012x}").encode("utf-8", errors="surrogatepass")


def records_in(body: bytes) -> list[Any] | None:
    """The records of the page as a reader sees them who takes anything that can be told apart; None: it cannot be read."""
    try:
        page = json.loads(body.decode(errors="replace"), strict=False, parse_int=str)
    except (ValueError, RecursionError):
        return None
    return page["items"] if isinstance(page, dict) and isinstance(page.get("items"), list) else None


def page_in(body: bytes) -> Page | None:
    """The page as the client reads it; None: it is told as unreadable, so the answer as a whole is asked for again."""
    try:
        return read_page(body)
    except UnreadableAnswer:
        return None


def answer_in(body: bytes) -> SessionAnswer | None:
    """What the client makes of the page, were it all of a vehicle's answer."""
    page = page_in(body)
    if page is None:
        return None
    read = ListRead()
    read.take(page)
    return SessionAnswer(list(read.sessions.values()), read.rejected, page.total)


def land_answers(connection: duckdb.DuckDBPyConnection, folder: Path, answers: Sequence[SessionAnswer | None]) -> None:
    """Stage and land the answers, one of each vehicle, as a run does."""
    batch = Batch(ORG, SessionDay.PLUG_IN_TIME)
    for number, answer in enumerate(answers):
        window = VehicleWindow(uid("user"), vehicle_id(number), WINDOW)
        outcome = "failed" if answer is None else "complete"
        batch.add(VehicleRead(window, outcome, READ_AT, answer, error="no page" if answer is None else None))
    stage = WindowStage(folder)
    batch.write(stage)
    land(
        connection,
        stage.parts,
        run_id="run",
        landed_at=READ_AT,
        zones={},
        default_time_zone="Europe/Berlin",
        hold_share=1.0,
        limits=Limits.of({"outside_share": 1}),
    )


def require_all_kept(connection: duckdb.DuckDBPyConnection, bodies: Sequence[bytes]) -> None:
    """Every record with an id stands in raw.sessions or in quarantine under it, every one without stands in quarantine."""
    standing, entries = Counter[Key](), Counter[Key]()
    standing.update(rows(connection, "SELECT electric_vehicle_id, id::VARCHAR FROM raw.sessions"))
    entries.update(rows(connection, "SELECT electric_vehicle_id, record_key FROM raw.quarantine"))
    sent = [(vehicle_id(number), name) for number, body in enumerate(bodies) for name in ids_in(body)]
    assert set(standing) | {key for key in entries if is_id(key[1])} == {key for key in sent if is_id(key[1])}
    without_id = Counter(vehicle for vehicle, name in entries.elements() if not is_id(name))
    assert without_id == Counter(vehicle for vehicle, name in sent if not is_id(name))
    assert max(Counter([*standing.values(), *entries.values(), 1])) == 1
    told = rows(connection, "SELECT DISTINCT rules, reasons FROM raw.quarantine")
    assert all([reason.partition(":")[0] for reason in reasons] == names for names, reasons in told)
    assert {name for names, _ in told for name in names} <= ERRORS
    assert rows(connection, "FROM raw.quarantine WHERE len(rules) = 0") == []
    keys = rows(connection, "SELECT record_key, session_id::VARCHAR FROM raw.quarantine")
    assert all(own_id == (key if is_id(key) else None) for key, own_id in keys)


def ids_in(body: bytes) -> list[object]:
    """The id of each record that the page holds, None where it has none."""
    return [record.get("id") if isinstance(record, dict) else None for record in records_in(body) or ()]


def is_id(value: object) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


def require_derived_or_quarantined(connection: duckdb.DuckDBPyConnection) -> None:
    """Of the sessions that stand, those are derived that are not in quarantine, and no others."""
    keys = "SELECT electric_vehicle_id, {} FROM {}"
    standing = set(rows(connection, keys.format("id::VARCHAR", "raw.sessions")))
    derived = set(rows(connection, keys.format("id::VARCHAR", "analytics.sessions")))
    assert standing - derived == standing & set(rows(connection, keys.format("record_key", "raw.quarantine")))
    assert derived <= standing


def rows(connection: duckdb.DuckDBPyConnection, query: str, *values: object) -> list[tuple[Any, ...]]:
    return connection.execute(query, values).fetchall()


@given(records=_pages.map(",".join), data=st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_body_that_was_cut_or_garbled_is_a_page_or_is_told_as_unreadable(records: str, data: st.DataObject) -> None:
    body = f'{{"total": 1, "items": [{records}]}}'.encode("utf-8", errors="surrogatepass")
    at = data.draw(st.integers(0, len(body)))
    garbled = body[:at] + data.draw(st.binary(max_size=4)) + body[at + data.draw(st.integers(0, 4)) :]
    page = page_in(garbled)
    assert page is None or page.records == len(records_in(garbled) or ())
