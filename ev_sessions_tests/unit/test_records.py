"""Sessions as the partner API sends them: what is read from a page, and what is rejected from it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_sessions.partner_api import SessionRecord, UnreadableAnswer, to_six_places
from ev_sessions.partner_api.records import Page, read_page
from ev_sessions.tables import SESSION_FIELDS

SESSION_ID = UUID("7c0e1b0e-3c5c-4b7e-9a55-0a9d7a1d3c11")
OTHER_ID = UUID("0f6c2e80-64f0-4a51-8d0b-1a1c5d0f0a22")
PLUG_IN = "2026-03-01T17:42:10Z"
NUMBERS = tuple(column.name for column in SESSION_FIELDS if column.type.startswith("DECIMAL"))
STAMPS = tuple(column.name for column in SESSION_FIELDS if column.type == "TIMESTAMPTZ")

FULL: dict[str, Any] = {
    "id": str(SESSION_ID),
    "plug_in_time": PLUG_IN,
    "unplug_time": "2026-03-02T06:05:00Z",
    "inferred_session_end": None,
    "desired_charging_start_time": "2026-03-02T01:00:00+01:00",
    "desired_charging_end_time": "2026-03-02T04:00:00.25Z",
    "charge_deadline": "2026-03-02T06:00:00Z",
    "target_soc_pct": 80,
    "initial_soc_pct": 41.5,
    "final_soc_pct": 80,
    "energy_charged_kwh": 0.30000000000000004,
    "avg_charge_power_kw": 7.2,
    "peak_charge_power_kw": 11,
    "actual_cost_eur": -0.0125,
    "expected_savings_eur": 1e-7,
    "actual_savings_eur": 2.5,
    "is_at_home": True,
    "session_outcome": "not_at_home",
}
GOOD = json.dumps({"id": str(OTHER_ID), "plug_in_time": PLUG_IN})


def page_of(*records: str, total: int | None = None) -> Page:
    """The page with these records, given as JSON text."""
    body = f'{{"total": {len(records) if total is None else total}, "items": [{", ".join(records)}]}}'
    return read_page(body.encode("utf-8", errors="surrogatepass"))


def record_with(**fields: str) -> str:
    """The text of a record with its two promised fields and these, given as JSON text."""
    texts = {"id": f'"{SESSION_ID}"', "plug_in_time": f'"{PLUG_IN}"', **fields}
    return "{" + ", ".join(f'"{name}": {text}' for name, text in texts.items()) + "}"


def test_the_fields_of_a_record_are_those_of_the_table() -> None:
    assert SessionRecord.__struct_fields__ == (*(column.name for column in SESSION_FIELDS), "extra")


def test_all_eighteen_fields_are_read_with_their_types() -> None:
    page = page_of(json.dumps(FULL), total=7)
    assert page.total == 7
    assert page.sessions == [
        SessionRecord(
            id=SESSION_ID,
            plug_in_time=datetime(2026, 3, 1, 17, 42, 10, tzinfo=UTC),
            unplug_time=datetime(2026, 3, 2, 6, 5, tzinfo=UTC),
            inferred_session_end=None,
            desired_charging_start_time=datetime(2026, 3, 2, 0, 0, tzinfo=UTC),
            desired_charging_end_time=datetime(2026, 3, 2, 4, 0, 0, 250_000, tzinfo=UTC),
            charge_deadline=datetime(2026, 3, 2, 6, 0, tzinfo=UTC),
            target_soc_pct=Decimal("80.000000"),
            initial_soc_pct=Decimal("41.500000"),
            final_soc_pct=Decimal("80.000000"),
            energy_charged_kwh=Decimal("0.300000"),
            avg_charge_power_kw=Decimal("7.200000"),
            peak_charge_power_kw=Decimal("11.000000"),
            actual_cost_eur=Decimal("-0.012500"),
            expected_savings_eur=Decimal("0.000000"),
            actual_savings_eur=Decimal("2.500000"),
            is_at_home=True,
            session_outcome="not_at_home",
        )
    ]


def test_stamps_of_any_zone_are_handed_out_in_utc() -> None:
    (session,) = page_of(record_with(unplug_time='"2026-03-02T01:30:00+05:30"')).sessions
    assert session.unplug_time is not None
    assert session.unplug_time.tzinfo is UTC
    assert session.unplug_time == datetime(2026, 3, 1, 20, 0, tzinfo=UTC)


@pytest.mark.parametrize("sent", ["null", None])
def test_null_and_missing_are_none_in_every_field_that_is_not_promised(sent: str | None) -> None:
    names = SessionRecord.__struct_fields__[2:-1]
    (session,) = page_of(record_with(**({} if sent is None else dict.fromkeys(names, sent)))).sessions
    assert {getattr(session, name) for name in names} == {None}
    assert session.extra is None


def test_unknown_fields_are_kept_as_they_were_sent() -> None:
    (session,) = page_of(record_with(grid_signal='"eco"', extra='{"a": [1.10, null]}')).sessions
    assert session.id == SESSION_ID
    assert session.extra is not None
    assert "1.10" in session.extra
    assert json.loads(session.extra) == {"grid_signal": "eco", "extra": {"a": [1.1, None]}}


def test_an_unknown_field_is_kept_as_one_whatever_it_is_called() -> None:
    (session,) = page_of(record_with(**{"(extra)": '"eco"'})).sessions
    assert session.extra is not None
    assert list(json.loads(session.extra).values()) == ["(text, 3 characters)"]


def test_unknown_fields_in_another_order_are_the_same_content() -> None:
    (one,) = page_of(record_with(b_field="1", a_field="2")).sessions
    (other,) = page_of(record_with(a_field="2", b_field="1")).sessions
    assert one.extra == other.extra


def test_a_record_is_written_as_json_with_its_unknown_fields_and_exact_numbers() -> None:
    (session,) = page_of(record_with(energy_charged_kwh="7.1", grid_signal='"eco"')).sessions
    assert session.to_json() == (
        f'{{"id":"{SESSION_ID}","plug_in_time":"{PLUG_IN}","energy_charged_kwh":7.100000,"grid_signal":"eco"}}'
    )


def test_a_record_without_unknown_fields_reads_back_from_its_json() -> None:
    (session,) = page_of(json.dumps(FULL)).sessions
    assert page_of(session.to_json()).sessions == [session]


BROKEN = {
    "an id that is missing": f'{{"plug_in_time": "{PLUG_IN}"}}',
    "an id that is null": record_with(id="null"),
    "an id that is no UUID": record_with(id='"7c0e1b0e-3c5c-4b7e-9a55"'),
    "no plug-in": f'{{"id": "{SESSION_ID}"}}',
    "a plug-in that is null": record_with(plug_in_time="null"),
    "a stamp without a zone": record_with(plug_in_time='"2026-03-01T17:42:10"'),
    "an empty stamp": record_with(unplug_time='""'),
    "a stamp that is a number": record_with(unplug_time="1772386930"),
    "a stamp of no calendar": record_with(unplug_time='"2026-02-30T00:00:00Z"'),
    "a stamp before the year 1 in UTC": record_with(unplug_time='"0001-01-01T00:00:00+05:00"'),
    "a stamp after the year 9999 in UTC": record_with(unplug_time='"9999-12-31T23:59:59-05:00"'),
    "a stamp that rounds beyond the year 9999": record_with(unplug_time='"9999-12-31T23:59:59.9999999Z"'),
    "text for a number": record_with(energy_charged_kwh='"12.3"'),
    "text for a number, under an escaped name": record_with(**{"energy\\u005fcharged_kwh": '"12.3"'}),
    "the text NaN for a number": record_with(energy_charged_kwh='"NaN"'),
    "NaN": record_with(actual_cost_eur="NaN"),
    "infinity": record_with(actual_cost_eur="Infinity"),
    "minus infinity": record_with(actual_cost_eur="-Infinity"),
    "NaN in an unknown field": record_with(grid_signal="NaN"),
    "a truth for a number": record_with(energy_charged_kwh="true"),
    "a number for a truth": record_with(is_at_home="1"),
    "text for a truth": record_with(is_at_home='"true"'),
    "a number for a text": record_with(session_outcome="5"),
    "an object for a number": record_with(energy_charged_kwh='{"value": 1}'),
    "a list for a number": record_with(energy_charged_kwh="[1]"),
    "a number of thirteen digits": record_with(energy_charged_kwh="1000000000000"),
    "a number that rounds to thirteen digits": record_with(energy_charged_kwh="999999999999.9999999"),
    "a number of five thousand digits": record_with(energy_charged_kwh="9" * 5000),
    "an enormous exponent": record_with(energy_charged_kwh="1e999999999"),
    "an exponent beyond any decimal": record_with(energy_charged_kwh="1e999999999999999999999999"),
    "a field given twice": record_with(energy_charged_kwh='1, "energy_charged_kwh": 2'),
    "an id given twice": record_with(session_outcome=f'null, "id": "{SESSION_ID}"'),
    "half an emoji": record_with(session_outcome='"\\ud83d"'),
    "an unescaped line break": record_with(session_outcome='"a\nb"'),
    "null": "null",
    "a number": "7",
    "a text": '"session"',
    "a list": "[]",
    "an empty object": "{}",
}


def kept_of(raw: str) -> str:
    """The payload of a record of `BROKEN`: only two of them have texts that could speak of a person."""
    for sent, kept in (('"\\ud83d"', '"(text, 1 characters)"'), ('"a\nb"', '"(text, 3 characters)"'), ("\\u005f", "_")):
        raw = raw.replace(sent, kept)
    return raw.replace('": ', '":').replace(', "', ',"')


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN.keys())
def test_a_record_that_does_not_fit_is_rejected_alone_with_what_makes_it_so(raw: str) -> None:
    page = page_of(GOOD, raw, GOOD)
    assert [session.id for session in page.sessions] == [OTHER_ID, OTHER_ID]
    (rejected,) = page.rejected
    assert rejected.raw == kept_of(raw)
    assert rejected.reason
    assert "\n" not in rejected.reason
    assert page.records == 3


def test_a_rejected_record_says_which_field_does_not_fit() -> None:
    assert "energy_charged_kwh" in page_of(record_with(energy_charged_kwh='"12.3"')).rejected[0].reason
    assert "unplug_time" in page_of(record_with(unplug_time='"soon"')).rejected[0].reason


def test_a_rejected_record_carries_its_id_where_that_is_a_uuid() -> None:
    spelt = str(SESSION_ID).upper()
    page = page_of(record_with(id=f'"{spelt}"', is_at_home="5"), record_with(id='"4711"'), "null", record_with(is_at_home="NaN"))
    assert [rejected.record_id for rejected in page.rejected] == [str(SESSION_ID), None, None, str(SESSION_ID)]


def test_bytes_that_are_no_text_cost_their_record_alone() -> None:
    body = f'{{"total": 2, "items": [{GOOD}, {record_with(session_outcome="?")}]}}'.encode().replace(b"?", b'"\xff"')
    page = read_page(body)
    assert len(page.sessions) + len(page.rejected) == 2
    assert OTHER_ID in [session.id for session in page.sessions]


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("0.30000000000000004", "0.300000"),
        ("0.0000005", "0.000000"),
        ("0.0000015", "0.000002"),
        ("-0.0000025", "-0.000002"),
        ("12", "12.000000"),
        ("1.5E2", "150.000000"),
        ("999999999999.999999", "999999999999.999999"),
        ("-999999999999.9999994", "-999999999999.999999"),
        ("1e-400", "0.000000"),
    ],
)
def test_numbers_are_read_from_their_text_and_rounded_half_even_to_six_places(sent: str, read: str) -> None:
    (session,) = page_of(record_with(actual_cost_eur=sent)).sessions
    assert str(session.actual_cost_eur) == read


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_rounding_agrees_with_plain_decimal_arithmetic_or_refuses(value: Decimal) -> None:
    with localcontext() as context:
        context.prec = 5000
        fits = abs(value) < Decimal(10) ** 12 and abs(value.quantize(Decimal("1e-6"), ROUND_HALF_EVEN)) < Decimal(10) ** 12
        expected = value.quantize(Decimal("1e-6"), ROUND_HALF_EVEN) if fits else None
    if expected is None:
        with pytest.raises(ValueError, match="does not fit"):
            to_six_places(value)
    else:
        assert to_six_places(value) == expected
        assert to_six_places(value).as_tuple().exponent == -6


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_no_number_cannot_be_rounded(value: str) -> None:
    with pytest.raises(ValueError, match="number"):
        to_six_places(Decimal(value))


ODD_PAGES = {
    "nothing": b"",
    "an HTML page": b"<html><body>502 Bad Gateway</body></html>",
    "a page cut short": b'{"total": 1, "items": [{"id": "7c0e',
    "a list": b"[]",
    "a text": b'"total"',
    "no total": b'{"items": []}',
    "no items": b'{"total": 0}',
    "a negative total": b'{"total": -1, "items": []}',
    "a total that is text": b'{"total": "1", "items": []}',
    "a total that is a truth": b'{"total": true, "items": []}',
    "a total with a fraction": b'{"total": 1.5, "items": []}',
    "a total that is NaN": b'{"total": NaN, "items": []}',
    "items that are null": b'{"total": 0, "items": null}',
    "items that are an object": b'{"total": 0, "items": {}}',
    "something after the end": b'{"total": 0, "items": []} and more',
    "two pages": b'{"total": 0, "items": []}{"total": 0, "items": []}',
    "a comma too many": b'{"total": 0, "items": [],}',
    "a name that is a long number": b"{" + b"9" * 5000 + b": 1}",
    "a nesting without end": b'{"total": 1, "items": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}",
}


@pytest.mark.parametrize("body", ODD_PAGES.values(), ids=ODD_PAGES.keys())
def test_a_body_that_is_no_page_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        read_page(body)


def test_a_page_may_have_fields_of_its_own_that_nobody_knows() -> None:
    page = read_page(f'{{"next": null, "total": 1, "items": [{GOOD}]}}'.encode())
    assert (page.total, page.records) == (1, 1)


def test_white_space_makes_no_difference() -> None:
    records = [json.dumps(FULL), record_with(grid_signal="1"), record_with(is_at_home="7")]
    spaced = json.dumps({"total": 3, "items": [json.loads(record) for record in records]}, indent=1, separators=(" , ", " : "))
    page, dense = read_page(spaced.encode()), page_of(*records)
    assert page.sessions[0] == dense.sessions[0]
    assert json.loads(page.sessions[1].extra or "") == {"grid_signal": 1}
    assert len(page.rejected) == 1


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters())
    | st.just(PLUG_IN)
    | st.uuids().map(str),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)
RECORDS = JSON_VALUES | st.dictionaries(
    st.sampled_from(SessionRecord.__struct_fields__) | st.text(max_size=5), JSON_VALUES, max_size=8
).map(lambda fields: {"id": str(SESSION_ID), "plug_in_time": PLUG_IN} | fields)


@given(records=st.lists(RECORDS, max_size=4), ascii_only=st.booleans())
def test_whatever_the_records_are_none_is_lost_and_good_neighbours_stay(records: list[Any], *, ascii_only: bool) -> None:
    texts = [json.dumps(record, ensure_ascii=ascii_only) for record in records]
    page = page_of(GOOD, *texts)
    assert page.records == len(records) + 1
    assert page.sessions[0].id == OTHER_ID
    for session in page.sessions:
        numbers = [value for name in NUMBERS if (value := getattr(session, name)) is not None]
        assert all(number == to_six_places(number) for number in numbers)
        stamps = [value for name in STAMPS if (value := getattr(session, name)) is not None]
        assert all(stamp.tzinfo is UTC for stamp in stamps)
        assert session.extra is None or isinstance(msgspec.json.decode(session.extra), dict)


@given(st.binary(max_size=60))
def test_random_bytes_are_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        read_page(body)
