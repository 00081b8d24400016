"""What is kept of values that nobody vouches for, and what gives way to a mark."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_sessions.partner_api.personal import without_persons
from ev_sessions.partner_api.records import read_page

SESSION_ID = "7c0e1b0e-3c5c-4b7e-9a55-0a9d7a1d3c11"
PLUG_IN = "2026-03-01T17:42:10Z"


@pytest.mark.parametrize(
    "raw",
    [
        "null",
        "true",
        "-1.50e3",
        "NaN",
        '"eco"',
        '""',
        '"not_at_home"',
        f'"{SESSION_ID}"',
        '"2026-03-01T17:42:10.25+01:00"',
        '{"grid_signal":"eco","steps":[1.10,{"power_kw":11,"capacity":true,"latency_ms":5}]}',
    ],
)
def test_what_can_be_no_persons_stays_as_it_was_sent(raw: str) -> None:
    assert without_persons(raw) == raw


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ('"Jane Doe"', '"(text, 8 characters)"'),
        ('"jane@example.org"', '"(text, 16 characters)"'),
        ('"Müller"', '"(text, 6 characters)"'),
        ('"\\u004aane"', '"(text, 4 characters)"'),
        ('"0043 660 1234567"', '"(text, 16 characters)"'),
        ('"1980-05-04"', '"(text, 10 characters)"'),
        (f'"{"a" * 41}"', '"(text, 41 characters)"'),
        ('["Jane", ["Doe", 7]]', '["(text, 4 characters)",["(text, 3 characters)",7]]'),
        ('{"grid_signal": {"a": "Jane Doe"}}', '{"grid_signal":{"a":"(text, 8 characters)"}}'),
    ],
)
def test_any_other_text_gives_way_to_its_length(raw: str, kept: str) -> None:
    assert without_persons(raw) == kept


@pytest.mark.parametrize(
    "name",
    [
        "fahrer",
        "wohn_ort",
        "kunde_seit",
        "first_name",
        "email",
        "phone",
        "zip_code",
        "postal_code",
        "city",
        "home_city",
        "lat",
        "owner",
        "latitude",
        "street",
        "zipcode",
        "postleitzahl",
        "hausnummer",
        "wohnort",
        "msisdn",
        "born",
    ],
)
@pytest.mark.parametrize(
    ("sent", "kept"),
    [('"jane"', "(text, 4 characters)"), ("10115", "(number)"), ("true", "(truth)"), ("[1]", "(list)"), ('{"a":1}', "(object)")],
)
def test_under_a_name_that_speaks_of_people_or_places_nothing_stays(name: str, sent: str, kept: str) -> None:
    assert json.loads(without_persons(f'{{"{name}":{sent}}}')) == {name: kept}


def test_names_that_are_no_words_give_way_with_their_values_and_none_is_lost() -> None:
    kept = json.loads(without_persons('{"Jane Doe": 1, "Jane Roe": "eco", "jane@example.org": null}'))
    assert kept == {
        "(name, 8 characters)": "(number)",
        "(name, 8 characters) 2": "(text, 3 characters)",
        "(name, 16 characters)": None,
    }


def test_what_is_nested_too_deeply_to_mean_anything_gives_way_as_a_whole() -> None:
    kept = without_persons('{"a":' * 20 + '"Jane"' + "}" * 20)
    assert "Jane" not in kept
    assert kept.count('"a"') < 20


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("energy_charged_kwh", "12.3 kWh"),
        ("energy_charged_kwh", "12,5"),
        ("actual_cost_eur", "-1.2e3 EUR"),
        ("target_soc_pct", "80 %"),
        ("final_soc_pct", "NaN"),
        ("unplug_time", "2026-03-01T17:42:10"),
        ("unplug_time", "01.03.2026 17:42"),
        ("charge_deadline", "0001-01-01T00:00:00+05:00"),
        ("is_at_home", "yes"),
        ("charge_deadline", "2026-03-01"),
        ("charge_deadline", "1/3/2026 5:42 Z"),
        ("id", "7c0e1b0e-3c5c-4b7e-9a55"),
    ],
)
def test_a_text_that_tells_what_is_wrong_with_a_known_field_stays_in_the_payload(field: str, text: str) -> None:
    assert payload_with(**{field: text})[field] == text


@pytest.mark.parametrize("field", ["id", "plug_in_time", "energy_charged_kwh", "is_at_home"])
@pytest.mark.parametrize(
    "text",
    [
        "Jane Doe",
        "jane@example.org",
        "Ada",
        "Main Street 1",
        "0170/1234567",
        "0170-1234567",
        "+491701234567",
        "0170 1234 567",
        "erika",
    ],
)
def test_a_person_in_a_known_field_does_not_stay_in_the_payload(field: str, text: str) -> None:
    assert payload_with(**{field: text})[field] == f"(text, {len(text)} characters)"


@pytest.mark.parametrize("outcome", ["charged", "not_at_home", "NOT-AT-HOME", "charged_2", ""])
def test_an_outcome_that_is_a_code_stays(outcome: str) -> None:
    assert outcome_of(outcome) == outcome


@pytest.mark.parametrize("outcome", ["Jane Doe", "jane@example.org", "Jane", "Müller", "a" * 41])
def test_an_outcome_that_is_another_text_gives_way_to_its_length(outcome: str) -> None:
    assert outcome_of(outcome) == f"(text, {len(outcome)} characters)"


def test_a_rejected_record_that_is_nested_without_end_costs_itself_alone() -> None:
    deep = "[" * 900 + "]" * 900
    page = read_page(f'{{"total": 1, "items": [{{"id": "{SESSION_ID}", "plug_in_time": {deep}}}]}}'.encode())
    assert len(page.rejected) == 1
    assert "[" * 20 not in page.rejected[0].raw


# Every one of them holds a sign that no word, stamp or number has.
PERSONS = st.text(min_size=1).map(lambda text: f"§{text}")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | PERSONS,
    lambda values: st.lists(values) | st.dictionaries(PERSONS | st.sampled_from(["a_field", "id", "unplug_time"]), values),
    max_leaves=20,
)


@given(value=VALUES, ascii_only=st.booleans())
def test_wherever_a_person_stands_nothing_of_it_is_left(value: object, *, ascii_only: bool) -> None:
    kept = without_persons(json.dumps(value, ensure_ascii=ascii_only))
    assert "§" not in kept
    assert "\\" not in kept
    assert kept.isascii()
    json.loads(kept)


def payload_with(**fields: object) -> dict[str, Any]:
    """The payload of a record that is rejected, at least for a place that is no truth, with these fields."""
    record = {"id": SESSION_ID, "plug_in_time": PLUG_IN, "is_at_home": 5} | fields
    (rejected,) = read_page(json.dumps({"total": 1, "items": [record]}).encode()).rejected
    payload: dict[str, Any] = json.loads(rejected.raw)
    return payload


def outcome_of(sent: str) -> str | None:
    """What is kept of the outcome of a session that is in order."""
    record = {"id": SESSION_ID, "plug_in_time": PLUG_IN, "session_outcome": sent}
    (session,) = read_page(json.dumps({"total": 1, "items": [record]}).encode()).sessions
    return session.session_outcome
