"""Which days of a vehicle's life are asked for, and which day a session belongs to."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ev_sessions.days import DayRange
from ev_sessions.ingest.placement import Place, place, rejected_days, session_day
from ev_sessions.ingest.plan import plan
from ev_sessions.settings import SessionDay

MARCH = DayRange(date(2026, 3, 1), date(2026, 3, 31))


@dataclass(frozen=True)
class Car:
    created_at: datetime | None = None
    deleted_at: datetime | None = None
    missing_since: datetime | None = None
    user_id: UUID = field(default_factory=uuid4)
    electric_vehicle_id: UUID = field(default_factory=uuid4)


@dataclass(frozen=True)
class Stay:
    plug_in_time: datetime
    unplug_time: datetime | None = None
    inferred_session_end: datetime | None = None


def at(day: int, hour: int = 12, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def asked(car: Car) -> DayRange | None:
    windows = plan([car], {car.electric_vehicle_id: MARCH})
    return windows[0].days if windows else None


def test_a_vehicle_of_unknown_age_is_asked_for_the_whole_window() -> None:
    assert asked(Car()) == MARCH


def test_a_vehicle_is_asked_for_from_the_day_before_its_creation_on() -> None:
    assert asked(Car(created_at=at(10, 23))) == DayRange(date(2026, 3, 9), date(2026, 3, 31))


def test_a_deleted_vehicle_is_asked_for_up_to_the_day_after() -> None:
    assert asked(Car(deleted_at=at(10, 1))) == DayRange(date(2026, 3, 1), date(2026, 3, 11))


def test_a_vehicle_that_is_listed_no_more_is_asked_for_up_to_the_day_on_which_that_was_found() -> None:
    assert asked(Car(missing_since=at(10, 1))) == DayRange(date(2026, 3, 1), date(2026, 3, 10))


@pytest.mark.parametrize(
    "car",
    [Car(created_at=at(2, 0, month=4)), Car(deleted_at=at(27, 23, month=2)), Car(missing_since=at(28, 23, month=2))],
)
def test_a_vehicle_without_a_day_in_the_window_costs_no_request(car: Car) -> None:
    assert asked(car) is None


def test_the_day_of_creation_is_the_utc_day() -> None:
    created = datetime(2026, 3, 10, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    assert asked(Car(created_at=created)) == DayRange(date(2026, 3, 8), date(2026, 3, 31))


def test_a_plan_asks_each_vehicle_for_its_own_days_and_leaves_the_others_out() -> None:
    cars = [Car(), Car(created_at=at(10)), Car()]
    own = {cars[0].electric_vehicle_id: DayRange(date(2026, 3, 5), date(2026, 3, 6)), cars[1].electric_vehicle_id: MARCH}
    assert [(window.electric_vehicle_id, window.days) for window in plan(cars, own)] == [
        (cars[0].electric_vehicle_id, DayRange(date(2026, 3, 5), date(2026, 3, 6))),
        (cars[1].electric_vehicle_id, DayRange(date(2026, 3, 9), date(2026, 3, 31))),
    ]


def test_a_session_stands_under_the_day_of_its_plug_in_by_default() -> None:
    assert session_day(Stay(at(3, 23), unplug_time=at(4, 7)), SessionDay.PLUG_IN_TIME) == date(2026, 3, 3)


@pytest.mark.parametrize(
    ("stay", "day"),
    [
        (Stay(at(3), unplug_time=at(4), inferred_session_end=at(5)), 4),
        (Stay(at(3), inferred_session_end=at(5)), 5),
        (Stay(at(3)), 3),
    ],
)
def test_under_unplug_time_the_day_is_that_of_the_end_as_far_as_it_is_known(stay: Stay, day: int) -> None:
    assert session_day(stay, SessionDay.UNPLUG_TIME) == date(2026, 3, day)


def test_a_stay_over_the_edge_of_an_overlap_window_is_left_to_its_own_day() -> None:
    window = DayRange(date(2026, 3, 4), date(2026, 3, 5))
    assert place(Stay(at(3), unplug_time=at(4)), window, SessionDay.OVERLAP) is Place.LEFT_TO_ITS_OWN_DAY


@pytest.mark.parametrize(
    ("stay", "rule"),
    [
        (Stay(at(3), unplug_time=at(4)), SessionDay.PLUG_IN_TIME),
        (Stay(at(4), unplug_time=at(6)), SessionDay.UNPLUG_TIME),
        (Stay(at(2), unplug_time=at(3)), SessionDay.OVERLAP),
        (Stay(at(6), unplug_time=at(7)), SessionDay.OVERLAP),
    ],
)
def test_a_row_that_the_rule_does_not_put_in_the_window_is_outside(stay: Stay, rule: SessionDay) -> None:
    assert place(stay, DayRange(date(2026, 3, 4), date(2026, 3, 5)), rule) is Place.OUTSIDE


@given(
    plug_in=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),
    hours=st.integers(0, 120),
    rule=st.sampled_from(SessionDay),
)
def test_a_session_is_within_the_window_of_its_own_day_alone(plug_in: datetime, hours: int, rule: SessionDay) -> None:
    stay = Stay(plug_in, unplug_time=plug_in + timedelta(hours=hours))
    own = session_day(stay, rule)
    for shift in range(-6, 7):
        day = own + timedelta(days=shift)
        assert (place(stay, DayRange(day, day), rule) is Place.WITHIN) == (shift == 0)


@pytest.mark.parametrize(
    ("text", "rule", "days"),
    [
        ('{"plug_in_time": "2026-03-04T23:30:00+01:00"}', SessionDay.PLUG_IN_TIME, (4, 4)),
        ('{"plug_in_time": "2026-03-04T22:00:00Z", "unplug_time": "2026-03-05T07:00:00Z"}', SessionDay.UNPLUG_TIME, (5, 5)),
        ('{"plug_in_time": "2026-03-04T22:00:00Z", "unplug_time": 7}', SessionDay.UNPLUG_TIME, (3, 6)),
        ('{"plug_in_time": "2026-03-04T22:00:00"}', SessionDay.PLUG_IN_TIME, (3, 6)),
        ('{"plug_in_time": "2026-03-09T22:00:00Z"}', SessionDay.PLUG_IN_TIME, (3, 6)),
        ('{"plug_in_time": null}', SessionDay.PLUG_IN_TIME, (3, 6)),
        ("NaN", SessionDay.PLUG_IN_TIME, (3, 6)),
    ],
)
def test_a_record_that_cannot_be_typed_stands_on_its_own_day_if_that_can_be_read_else_on_all_that_were_asked_for(
    text: str, rule: SessionDay, days: tuple[int, int]
) -> None:
    asked = DayRange(date(2026, 3, 3), date(2026, 3, 6))
    assert rejected_days(text, asked, rule) == DayRange(date(2026, 3, days[0]), date(2026, 3, days[1]))
