"""The API's own sums, read: what is understood, what is not, and what of an unknown shape may be shown."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_sessions.partner_api import MonthSavings, UnexpectedAnswer, UnreadableAnswer
from ev_sessions.partner_api.savings import read_monthly_savings, read_organisation_savings

MARCH = date(2026, 3, 1)


def entry(start: object = "2026-03-01", end: object = "2026-04-01", **parts: object) -> dict[str, object]:
    """The entry of a month; a part that is not given is as the documentation shows it."""
    return {
        "resolution": "1MONTH",
        "period": {"start_period": start, "end_period": end},
        "savings": {"total": 1.5, "percentage": 10},
        "consumption": {"total": 200.0},
        "electric_vehicle": {"estimated_consumption_wh": 200_000, "charge_session_count": 20, "average_charge_power_w": 1},
        **parts,
    }


def read(*entries: object) -> list[MonthSavings] | UnexpectedAnswer:
    return read_monthly_savings(json.dumps({"metadata": {}, "data": entries}).encode())


def test_a_month_has_its_count_its_energy_in_kwh_and_its_savings() -> None:
    assert read(entry()) == [MonthSavings(MARCH, 20, Decimal("200.000000"), Decimal("1.500000"))]


def test_amounts_are_read_digit_by_digit_and_rounded_to_six_places() -> None:
    body = json.dumps({"data": [entry(savings={"total": "TOTAL"})]}).replace('"TOTAL"', "0.1234565000000000001")
    assert read_monthly_savings(body.encode()) == [MonthSavings(MARCH, 20, Decimal("200.000000"), Decimal("0.123457"))]


def test_a_text_that_is_a_number_is_one() -> None:
    assert read(entry(savings={"total": "-1.50"})) == [MonthSavings(MARCH, 20, Decimal(200), Decimal("-1.5"))]


@pytest.mark.parametrize("value", [None, "much", True, [], {}, 1e30, "NaN", "Infinity"])
def test_a_figure_that_is_no_amount_is_not_given(value: object) -> None:
    assert read(entry(savings={"total": value})) == [MonthSavings(MARCH, 20, Decimal(200), None)]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-03-01T00:00:00Z", "2026-03-31T23:59:59Z"),
        ("2026-02-28T23:00:00+00:00", "2026-03-31T22:00:00+00:00"),
        ("2026-03-01T00:00:00+02:00", "2026-04-01T00:00:00+03:00"),
        ("2026-03-01", "2026-03-31"),
        ("2026-03-01", None),
        ("2026-03-14", "2026-04-01"),
    ],
)
def test_a_period_is_that_of_its_middle_whichever_way_its_ends_are_told(start: object, end: object) -> None:
    months = read(entry(start, end))
    assert isinstance(months, list)
    assert [month.month for month in months] == [MARCH]


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"data": None},
        {"data": {}},
        {"data": [None]},
        {"data": [entry(), entry("2026-03-02", "2026-03-03")]},
        {"data": [entry("2026-01-01", "2026-04-01")]},
        {"data": [entry("2026-04-01", "2026-03-01")]},
        {"data": [entry("soon")]},
        {"data": [entry(7)]},
        {"data": [entry("0001-01-01T00:00:00+14:00")]},
        {"data": [entry("9999-12-31", None)]},
        {"data": [entry("9999-12-31T23:59:59-12:00", None)]},
        {"data": [entry(savings=None, electric_vehicle=None)]},
        "a text",
        None,
    ],
)
def test_an_answer_that_is_no_list_of_months_is_handed_back_as_its_shape(body: object) -> None:
    assert isinstance(read_monthly_savings(json.dumps(body).encode()), UnexpectedAnswer)


@pytest.mark.parametrize("number", ["1e400", "1e99999999999999999999", "-1E-99999999999999999999", "9" * 300])
def test_a_number_beyond_any_amount_is_not_given(number: str) -> None:
    body = json.dumps({"data": [entry(savings={"total": "TOTAL"})], "electric_vehicle_savings": "TOTAL"})
    body = body.replace('"TOTAL"', number)
    assert read_monthly_savings(body.encode()) == [MonthSavings(MARCH, 20, Decimal(200), None)]
    assert isinstance(read_organisation_savings(body.encode()), UnexpectedAnswer)


@pytest.mark.parametrize("depth", [20, 300, 400])
def test_an_answer_nested_deep_is_shown_down_to_some_level(depth: int) -> None:
    for opening, closing in (('{"data":', "}"), ("[", "]"), ('{"data":[', "]}")):
        body = (opening * depth + "1" + closing * depth).encode()
        for found in (read_monthly_savings(body), read_organisation_savings(body)):
            assert isinstance(found, UnexpectedAnswer)
            assert "..." in found.shape


def test_no_months_at_all_are_no_surprise() -> None:
    assert read() == []


def test_the_organisation_has_the_savings_of_its_electric_vehicles() -> None:
    answer = {"total_savings": 5, "heat_pump_savings": 2, "electric_vehicle_savings": 3, "inverter_savings": None}
    assert read_organisation_savings(json.dumps(answer).encode()) == Decimal(3)
    assert read_organisation_savings(b'{"total_savings": 5}') == UnexpectedAnswer("{total_savings: number}")


@pytest.mark.parametrize("body", [b"", b"<html></html>", b'{"data": [', b"NaN", b"\xff"])
def test_what_is_not_json_is_worth_asking_again(body: bytes) -> None:
    for read_body in (read_monthly_savings, read_organisation_savings):
        with pytest.raises(UnreadableAnswer):
            read_body(body)


def test_what_is_nested_too_deep_to_be_read_is_told_so() -> None:
    for read_body in (read_monthly_savings, read_organisation_savings):
        with pytest.raises(UnreadableAnswer, match="nested too deep"):
            read_body(b"[" * 100_000 + b"]" * 100_000)


def test_a_shape_shows_fields_and_kinds_and_nothing_of_anybody() -> None:
    answer = {
        "count": 2,
        "owner": {"email": "ada@example.org", "is_admin": True, "phone": None},
        "ada@example.org": 1,
        "abcdef0123456789abcdef0123456789": 2,
        "results": [{"total": 1.5}, {"total": 2.5}],
        "none": [],
    }
    assert read_monthly_savings(json.dumps(answer).encode()) == UnexpectedAnswer(
        "{count: number, owner: {email: text, is_admin: true or false, phone: null}, ?: number, ?: number, "
        "results: [{total: number}, 2 in all], none: []}"
    )


def test_a_count_that_is_no_whole_number_is_unexpected() -> None:
    period = {"start_period": "2026-03-01T00:00:00Z", "end_period": "2026-04-01T00:00:00Z"}
    entry = {"period": period, "electric_vehicle": {"charge_session_count": 3.7}}
    assert isinstance(read_monthly_savings(json.dumps({"data": [entry]}).encode()), UnexpectedAnswer)


def test_a_long_shape_is_cut_short() -> None:
    found = read_monthly_savings(json.dumps({f"field_{number}": number for number in range(100)}).encode())
    assert isinstance(found, UnexpectedAnswer)
    assert len(found.shape) < 410
    assert found.shape.endswith("...")


# JSON as text, since no Python value has every number that a body may have.
NUMBERS = st.integers(-(10**30), 10**30).map(str) | st.from_regex(
    r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,20})?", fullmatch=True
)
WORDS = st.sampled_from(["NaN", "sNaN", "-Infinity", "1e999999999999999999", "soon"]) | st.text()
STAMPS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["0001-01-01", "0001-12-31", "9999-01-01", "9999-12-01", "9999-12-31"]) | st.dates().map(str),
    st.sampled_from(["", "T00:00:00", "T23:59:59.999999"]),
    st.sampled_from(["", "Z", "+23:59", "-23:59", "+00:00:01"]),
)
SCALARS = st.sampled_from(["null", "true", "false"]) | NUMBERS | (WORDS | STAMPS).map(json.dumps)


def lists(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(parts, max_size=4).map(lambda found: f"[{', '.join(found)}]")


def objects(**parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Objects with any of these fields."""
    found = st.fixed_dictionaries({}, optional=parts)
    return found.map(lambda fields: "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}")


JSON = st.recursive(SCALARS, lambda parts: lists(parts) | objects(data=parts, period=parts, other=parts), max_leaves=8)
NESTED = st.builds(lambda depth, part: "[" * depth + part + "]" * depth, st.integers(0, 600), JSON)
START = STAMPS.map(json.dumps) | JSON
ENTRIES = objects(
    period=JSON | objects(start_period=START, end_period=START),
    savings=JSON | objects(total=SCALARS),
    electric_vehicle=JSON | objects(charge_session_count=SCALARS, estimated_consumption_wh=SCALARS),
)


@given(body=JSON | NESTED | objects(data=JSON | lists(ENTRIES), electric_vehicle_savings=SCALARS))
def test_no_json_crashes_the_reading(body: str) -> None:
    assert isinstance(read_monthly_savings(body.encode()), list | UnexpectedAnswer)
    assert isinstance(read_organisation_savings(body.encode()), Decimal | UnexpectedAnswer)
