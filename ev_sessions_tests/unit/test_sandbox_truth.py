"""The sandbox's right answers: repeatable, true to life, and consistent in themselves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ev_sessions.sandbox import (
    Breakage,
    MalformedRecordError,
    SandboxOptionError,
    SandboxOptions,
    SimulatedFleet,
    broken_body,
    typed_row,
)
from ev_sessions.sandbox.records import is_well_formed
from ev_sessions.sandbox.state import Tokens
from ev_sessions.sandbox.truth import Truth
from ev_sessions.settings import SessionDay

FIRST, LAST = date(2026, 4, 1), date(2026, 6, 30)
LONG_AFTER = datetime(2026, 8, 1, tzinfo=UTC)
OPTIONS = SandboxOptions(end=LAST, days=91, vehicles=60, seed=7, malformed_rate=0.02, withdrawn_rate=0.02, restated_rate=0.1)
FLEET = SimulatedFleet(OPTIONS)
DAYS = st.dates(FIRST, LAST)
VEHICLES = st.sampled_from(FLEET.vehicle_ids())
INSTANTS = st.datetimes(datetime(2026, 4, 1), datetime(2026, 8, 1), timezones=st.just(UTC))
CUTS = st.sampled_from(SessionDay)


def all_rows(truth: Truth) -> list[dict[str, object]]:
    return list(truth.fleet_sessions(FIRST, LAST, LONG_AFTER))


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    return all_rows(FLEET)


def bodies(truth: Truth, vehicle: UUID, now: datetime = LONG_AFTER) -> list[bytes]:
    return [version.body for version in truth.versions(vehicle, FIRST, LAST, now)]


def test_the_same_options_make_the_same_fleet_in_whatever_order_it_is_asked() -> None:
    again = SimulatedFleet(OPTIONS)
    late_first = reversed(again.vehicle_ids())
    assert {vehicle: bodies(again, vehicle) for vehicle in late_first} == {
        vehicle: bodies(FLEET, vehicle) for vehicle in FLEET.vehicle_ids()
    }


def test_another_seed_makes_another_fleet() -> None:
    other = SimulatedFleet(SandboxOptions(end=LAST, days=91, vehicles=60, seed=8))
    assert not set(other.vehicle_ids()) & set(FLEET.vehicle_ids())
    assert other.org_id != FLEET.org_id


@given(VEHICLES, DAYS, DAYS, INSTANTS, CUTS)
@settings(max_examples=60, deadline=None)
def test_a_window_lists_what_its_days_list_one_by_one(
    vehicle: UUID, one: date, other: date, now: datetime, cut: SessionDay
) -> None:
    first, last = min(one, other), max(one, other)
    day_by_day = {
        version.body
        for offset in range((last - first).days + 1)
        for version in FLEET.versions(vehicle, first + timedelta(offset), first + timedelta(offset), now, cut)
    }
    assert {version.body for version in FLEET.versions(vehicle, first, last, now, cut)} == day_by_day


@given(VEHICLES, INSTANTS, st.timedeltas(timedelta(0), timedelta(days=30)))
@settings(max_examples=60, deadline=None)
def test_later_clocks_list_every_session_that_earlier_ones_did_unless_it_is_withdrawn(
    vehicle: UUID, now: datetime, wait: timedelta
) -> None:
    kept = SimulatedFleet(SandboxOptions(end=LAST, days=91, vehicles=60, seed=7, withdrawn_rate=0, malformed_rate=0))
    early = {row["id"] for row in kept.sessions(vehicle, FIRST, LAST, now)}
    late = {row["id"] for row in kept.sessions(vehicle, FIRST, LAST, now + wait)}
    assert early <= late


@given(VEHICLES, INSTANTS)
@settings(max_examples=60, deadline=None)
def test_no_session_is_listed_before_it_has_ended(vehicle: UUID, now: datetime) -> None:
    for row in FLEET.sessions(vehicle, FIRST, LAST, now):
        end = row["unplug_time"] or row["inferred_session_end"] or row["plug_in_time"]
        assert row["plug_in_time"] <= end <= now


def test_what_is_called_malformed_cannot_be_typed_and_all_else_can() -> None:
    listed = [version for vehicle in FLEET.vehicle_ids() for version in FLEET.versions(vehicle, FIRST, LAST, LONG_AFTER)]
    assert {is_well_formed(version.body) for version in listed} == {True, False}
    assert all(is_well_formed(version.body) == version.well_formed for version in listed)


def test_totals_are_the_exact_sums_of_the_rows(rows: list[dict[str, object]]) -> None:
    totals = FLEET.totals(FIRST, LAST, LONG_AFTER)
    malformed = sum(len(FLEET.malformed(vehicle, FIRST, LAST, LONG_AFTER)) for vehicle in FLEET.vehicle_ids())
    savings = [row["actual_savings_eur"] for row in rows]
    assert (totals.rows, totals.malformed) == (len(rows), malformed)
    assert totals.savings_eur == sum((value for value in savings if isinstance(value, Decimal)), Decimal(0))


def test_sessions_of_a_vehicle_never_overlap() -> None:
    plain = SimulatedFleet(SandboxOptions(end=LAST, days=91, vehicles=60, seed=7))
    for vehicle in plain.vehicle_ids():
        listings = plain.listings(vehicle, FIRST, LAST)
        assert all(before.end is None or before.end < after.plug_in for before, after in pairwise(listings))


def test_sessions_plug_in_within_the_history_alone() -> None:
    wide = FLEET.listings(FLEET.vehicle_ids()[0], FIRST - timedelta(30), LAST + timedelta(30))
    days = {datetime.fromtimestamp(listing.plug_in, UTC).date() for listing in wide}
    assert days
    assert all(FIRST <= day <= LAST for day in days)


def test_sessions_lie_within_the_life_of_their_vehicle() -> None:
    lives = {UUID(car["id"]): (car["created_at"], car["deleted_at"]) for car in FLEET.vehicles(None, LONG_AFTER)}
    assert any(deleted for _, deleted in lives.values())
    for vehicle, (created, deleted) in lives.items():
        for row in FLEET.sessions(vehicle, FIRST, LAST, LONG_AFTER):
            assert row["plug_in_time"] >= datetime.fromisoformat(created)
            assert deleted is None or row["plug_in_time"] < datetime.fromisoformat(deleted)


def test_a_vehicle_is_listed_from_its_creation_and_marked_from_its_deletion() -> None:
    born = next(car for car in FLEET.vehicles(None, LONG_AFTER) if car["created_at"] > FIRST.isoformat())
    gone = next(car for car in FLEET.vehicles(None, LONG_AFTER) if car["deleted_at"])
    before_birth = datetime.fromisoformat(born["created_at"]) - timedelta(seconds=1)
    before_death = datetime.fromisoformat(gone["deleted_at"]) - timedelta(seconds=1)
    assert born["id"] not in {car["id"] for car in FLEET.vehicles(None, before_birth)}
    assert next(car for car in FLEET.vehicles(None, before_death) if car["id"] == gone["id"])["deleted_at"] is None


def share_of(flags: Iterator[bool] | list[bool]) -> float:
    found = list(flags)
    return sum(found) / len(found)


def test_habits_are_those_of_real_home_charging(rows: list[dict[str, object]]) -> None:
    ends = [(row["plug_in_time"], row["unplug_time"]) for row in rows]
    stays = [(begin, end) for begin, end in ends if isinstance(begin, datetime) and isinstance(end, datetime)]
    assert 0.6 < len(rows) / (60 * 91) < 0.85
    assert 0.5 < share_of([end.date() != begin.date() for begin, end in stays]) < 0.75
    assert 0.005 < share_of([end - begin > timedelta(hours=48) for begin, end in stays]) < 0.04
    assert max(end - begin for begin, end in stays) < timedelta(days=7)


def test_steering_saves_on_the_whole_and_loses_now_and_then(rows: list[dict[str, object]]) -> None:
    savings = [row["actual_savings_eur"] for row in rows]
    values = [value for value in savings if isinstance(value, Decimal)]
    costs = [row["actual_cost_eur"] for row in rows]
    assert sum(values) > 0
    assert 0.02 < share_of([value < 0 for value in values]) < 0.2
    assert any(isinstance(cost, Decimal) and cost < 0 for cost in costs)


def test_away_from_home_nothing_is_expected_to_be_saved(rows: list[dict[str, object]]) -> None:
    away = [row for row in rows if row["session_outcome"] == "not_at_home"]
    assert away
    assert all(row["is_at_home"] is False and row["expected_savings_eur"] in {None, Decimal(0)} for row in away)


def test_every_field_but_the_promised_two_is_null_somewhere_and_set_elsewhere(rows: list[dict[str, object]]) -> None:
    named = set(rows[0]) - {"id", "plug_in_time", "org_id", "user_id", "electric_vehicle_id", "extra"}
    always_set = {name for name in named if all(row[name] is not None for row in rows)}
    never_set = {name for name in named if all(row[name] is None for row in rows)}
    planned = {"desired_charging_start_time", "desired_charging_end_time", "charge_deadline"}
    measured = {"energy_charged_kwh", "peak_charge_power_kw", "is_at_home"}
    assert always_set == planned | measured
    assert not never_set
    assert any(row["extra"] for row in rows)


def test_energy_is_what_the_power_and_the_stay_allow(rows: list[dict[str, object]]) -> None:
    for row in rows:
        begin, end = row["plug_in_time"], row["unplug_time"]
        energy, peak = row["energy_charged_kwh"], row["peak_charge_power_kw"]
        if isinstance(begin, datetime) and isinstance(end, datetime):
            assert isinstance(energy, Decimal)
            assert isinstance(peak, Decimal)
            hours = Decimal((end - begin).total_seconds()) / 3600
            assert 0 <= energy <= peak * hours * Decimal("1.02")


def test_a_restatement_changes_the_cost_and_leaves_the_counterfactual() -> None:
    plain = SimulatedFleet(SandboxOptions(end=LAST, days=91, vehicles=20, restated_rate=1, malformed_rate=0))
    changed = 0
    for vehicle in plain.vehicle_ids():
        for listing in plain.listings(vehicle, FIRST, LAST):
            before, after = (typed_row(version.body) for version in listing.versions)
            assert listing.versions[0].since + 86_400 <= listing.versions[1].since <= listing.versions[0].since + 6 * 86_400
            if before["actual_cost_eur"] is not None:
                changed += 1
                assert before["actual_cost_eur"] != after["actual_cost_eur"]
                assert (
                    before["actual_cost_eur"] + before["actual_savings_eur"]
                    == after["actual_cost_eur"] + after["actual_savings_eur"]
                )
    assert changed


def test_a_withdrawn_session_is_listed_first_and_then_no_longer() -> None:
    fickle = SimulatedFleet(SandboxOptions(end=LAST, days=30, vehicles=1, withdrawn_rate=1, deleted_rate=0))
    vehicle = fickle.vehicle_ids()[0]
    listing = fickle.listings(vehicle, FIRST, LAST)[0]
    assert listing.withdrawn is not None
    assert listing.version(listing.withdrawn - 1) is not None
    assert listing.version(listing.withdrawn) is None


def test_personal_values_cover_names_addresses_and_cars() -> None:
    personal = FLEET.personal_values(LONG_AFTER)
    user = next(user for user in FLEET.users(LONG_AFTER) if user["role"] == "user")
    car = FLEET.vehicles(UUID(user["id"]), LONG_AFTER)[0]
    assert {user["email"], user["last_name"], user["street"], car["owner"]["email"], car["name"], car["vin"]} <= personal


def test_a_token_is_accepted_until_it_expires() -> None:
    lasting, expired = Tokens(lifetime=3600), Tokens(lifetime=0)
    assert lasting.accepts(lasting.issue())
    assert not expired.accepts(expired.issue())


@pytest.mark.parametrize("breakage", Breakage)
def test_a_broken_record_cannot_be_typed(breakage: Breakage) -> None:
    with pytest.raises(MalformedRecordError):
        typed_row(broken_body(UUID(int=1), 1_780_000_000, breakage))


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**11), max_value=10**11, places=9))
def test_numbers_are_rounded_half_even_to_six_places(number: Decimal) -> None:
    row = typed_row(
        b'{"id":"%s","plug_in_time":"2026-01-01T00:00:00Z","energy_charged_kwh":%s}' % (b"0" * 32, f"{number:f}".encode())
    )
    assert row["energy_charged_kwh"] == round(number, 6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"vehicles": 0},
        {"days": 0},
        {"fail_rate": 1.5},
        {"drift": -0.1},
        {"rate_limit": -1},
        {"now": datetime(2026, 1, 1)},
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_name(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(SandboxOptionError, match=name):
        SandboxOptions(end=LAST, **wrong)  # type: ignore[arg-type]
