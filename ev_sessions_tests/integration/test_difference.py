"""Why a month's figures changed since an instant: each cause, all of them together, and that they sum to the change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from uuid import UUID

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ev_sessions.days import ONE_DAY, DayRange
from ev_sessions.limits import Limits
from ev_sessions.settings import ReportDate
from ev_sessions.tables import MONTHLY_SAVINGS
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.derive import derive
from ev_sessions.warehouse.difference import Cause, Difference, Effect, Figures, NothingToCompare, difference
from ev_sessions.warehouse.landing import land
from ev_sessions.warehouse.monthly import pending_months, sum_months
from ev_sessions.warehouse.versions import NothingKnown
from ev_sessions_tests.parts import Answer, Rejection, Row, session, write_part
from ev_sessions_tests.raw_rows import empty, rows_of

CAR, OTHER_CAR = UUID(int=101), UUID(int=102)
USER, OTHER_USER = UUID(int=2), UUID(int=3)
OWNERS = {CAR: USER, OTHER_CAR: OTHER_USER}
MARCH = DayRange(date(2026, 3, 1), date(2026, 3, 31))
READ = DayRange(date(2026, 1, 20), date(2026, 4, 20))
FIRST_NIGHT = datetime(2026, 5, 1, 3, 15, tzinfo=UTC)
LONG_AFTER = datetime(2026, 8, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MIDDLE = date(2026, 3, 15)


@dataclass
class Books:
    """A database, and what its month of March was after each night in which it was brought up to date."""

    connection: duckdb.DuckDBPyConnection
    folder: Path
    nights: Iterator[int] = field(default_factory=count)
    stored: list[Figures] = field(default_factory=list)

    def night(
        self,
        *sessions: Row,
        other: Sequence[Row] = (),
        malformed: Sequence[int] = (),
        report_date: str = "session_end",
        **limits: str,
    ) -> datetime:
        """Read all days of the two cars, land, derive and sum up; gives the instant after it."""
        read_at = FIRST_NIGHT + next(self.nights) * ONE_DAY
        rejected = [Rejection(str(UUID(int=number))) for number in malformed]
        answers = [
            Answer(car, READ.first, READ.last, read_at, listed, cannot_be_used, user=OWNERS[car])
            for car, listed, cannot_be_used in ((CAR, sessions, rejected), (OTHER_CAR, other, []))
        ]
        in_force = Limits.of(limits)
        land(
            self.connection,
            [write_part(self.folder / f"{read_at:%j-%f}-{len(list(self.folder.iterdir()))}", answers)],
            run_id="landing",
            landed_at=read_at + HOUR,
            zones={},
            default_time_zone="Europe/Berlin",
            hold_share=1,
            limits=in_force,
        )
        self.derive(read_at + HOUR, report_date=report_date, limits=in_force)
        sum_months(self.connection, pending_months(self.connection), run_id="months", derived_at=read_at + HOUR)
        self.stored.append(self.march())
        return read_at + 2 * HOUR

    def derive(self, derived_at: datetime, *, report_date: str, limits: Limits) -> None:
        """Derive all days, and nothing after that."""
        derive(
            self.connection,
            READ,
            run_id="derive",
            report_date=ReportDate(report_date),
            lookback_days=14,
            limits=limits,
            derived_at=derived_at,
        )

    def march(self) -> Figures:
        """The sums of analytics.monthly_savings for March."""
        rows = [row for row in rows_of(self.connection, MONTHLY_SAVINGS) if row["report_month"] == MARCH.first]
        known = ([row[name] for row in rows if row[name] is not None] for name in ("energy_kwh", "cost_eur", "savings_eur"))
        return Figures(
            sum(row["sessions"] for row in rows), *(sum(values, Decimal(0)) if values or not rows else None for values in known)
        )

    def explain(self, since: datetime, month: DayRange = MARCH) -> Difference:
        """The difference since then, whose causes sum to it."""
        found = difference(self.connection, month, since, now=LONG_AFTER)
        assert total(found.effects.values()) == found.now.minus(found.then)
        assert (
            sum((user.savings_now_eur or 0) - (user.savings_then_eur or 0) for user in found.users)
            == found.now.minus(found.then).savings_eur
        )
        return found


def total(effects: Iterable[Effect]) -> Figures:
    """The sum of what the causes did."""
    changes = [effect.change for effect in effects]
    return Figures(*(sum(getattr(change, name) for change in changes) for name in Figures.__dataclass_fields__))


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with Database(tmp_path_factory.mktemp("difference") / "sessions.duckdb").writing() as connection:
        yield connection


@pytest.fixture
def books(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> Books:
    empty(warehouse)
    return Books(warehouse, tmp_path)


def charged(number: int, day: date | None = None, *, hours: float = 6, **changes: str | None) -> Row:
    """A session from noon of `day`, or else of a day in March of its own, of 5 kWh, 2 EUR and savings of 1 EUR."""
    figures = {"energy_charged_kwh": "5", "actual_cost_eur": "2", "actual_savings_eur": "1"} | changes
    plain = session(number, day or MARCH.first + number * ONE_DAY)
    return plain | {
        "unplug_time": plain["plug_in_time"] + timedelta(hours=hours),
        **{name: None if value is None else Decimal(value) for name, value in figures.items()},
    }


def of_cause(found: Difference) -> dict[Cause, Effect]:
    """The causes that did something."""
    return {cause: effect for cause, effect in found.effects.items() if effect != Effect()}


def figures(sessions: int, energy: str, cost: str, savings: str) -> Figures:
    return Figures(sessions, Decimal(energy), Decimal(cost), Decimal(savings))


def test_where_nothing_changed_there_is_nothing_to_explain(books: Books) -> None:
    since = books.night(charged(1))
    books.night(charged(1))
    found = books.explain(since)
    assert (found.then, found.now, found.stored) == (figures(1, "5", "2", "1"),) * 3
    assert of_cause(found) == {}
    assert (found.sessions, found.users) == ((), ())


def test_a_session_that_was_listed_later_is_late(books: Books) -> None:
    since = books.night(charged(1))
    books.night(charged(1), other=[charged(2, actual_savings_eur="-0.25")])
    found = books.explain(since)
    assert of_cause(found) == {Cause.LATE: Effect(1, figures(1, "5", "2", "-0.25"))}
    (named,) = found.sessions
    assert (named.session_id, named.electric_vehicle_id, named.user_id) == (UUID(int=2), OTHER_CAR, OTHER_USER)
    assert (named.month_then, named.month_now) == (None, MARCH.first)
    (user,) = found.users
    assert (user.user_id, user.savings_then_eur, user.savings_now_eur) == (OTHER_USER, Decimal(0), Decimal("-0.25"))


def test_a_session_whose_figures_changed_is_restated(books: Books) -> None:
    since = books.night(charged(1), charged(2))
    books.night(charged(1, actual_cost_eur="2.125", actual_savings_eur=None), charged(2))
    assert of_cause(books.explain(since)) == {Cause.RESTATED: Effect(1, figures(0, "0", "0.125", "-1"))}


def test_what_no_session_has_is_unknown_and_not_nothing(books: Books) -> None:
    since = books.night(charged(1, actual_cost_eur=None))
    books.night(charged(1, actual_cost_eur=None, actual_savings_eur=None))
    found = books.explain(since)
    assert found.then == Figures(1, Decimal(5), None, Decimal(1))
    assert found.now == found.stored == Figures(1, Decimal(5), None, None)
    assert of_cause(found) == {Cause.RESTATED: Effect(1, figures(0, "0", "0", "-1"))}
    (user,) = found.users
    assert (user.savings_then_eur, user.savings_now_eur) == (Decimal(1), None)


def test_where_there_is_no_session_nothing_is_known_to_be_the_sum(books: Books) -> None:
    since = books.night(charged(1))
    books.night()
    found = books.explain(since)
    assert found.now == found.stored == Figures()
    assert [user.savings_now_eur for user in found.users] == [0]


def test_a_session_that_is_listed_no_longer_has_vanished(books: Books) -> None:
    since = books.night(charged(1), charged(2))
    books.night(charged(2))
    assert of_cause(books.explain(since)) == {Cause.VANISHED: Effect(1, figures(-1, "-5", "-2", "-1"))}


def test_a_session_that_came_back_unchanged_explains_nothing(books: Books) -> None:
    since = books.night(charged(1), charged(2))
    books.night(charged(2))
    books.night(charged(1), charged(2))
    assert of_cause(books.explain(since)) == {}


def test_a_session_that_a_rule_keeps_out_or_lets_in_is_told_as_that(books: Books) -> None:
    since = books.night(charged(1), charged(2, energy_charged_kwh="300"))
    books.night(charged(1, energy_charged_kwh="400"), charged(2, energy_charged_kwh="30"))
    assert of_cause(books.explain(since)) == {Cause.RULE: Effect(2, figures(0, "25", "0", "0"))}


def test_a_session_that_counts_since_its_double_vanished_is_let_in_by_a_rule(books: Books) -> None:
    double = charged(2, MIDDLE, hours=7, actual_savings_eur="4")
    since = books.night(charged(1, MIDDLE), double)
    assert books.stored[-1].sessions == 1
    books.night(double)
    assert of_cause(books.explain(since)) == {
        Cause.VANISHED: Effect(1, figures(-1, "-5", "-2", "-1")),
        Cause.RULE: Effect(1, figures(1, "5", "2", "4")),
    }


def test_an_id_that_appears_under_a_second_vehicle_keeps_both_out_by_a_rule(books: Books) -> None:
    since = books.night(charged(1))
    books.night(charged(1), other=[charged(1, day=date(2026, 2, 2))])
    assert of_cause(books.explain(since)) == {Cause.RULE: Effect(1, figures(-1, "-5", "-2", "-1"))}


def test_an_id_that_stood_under_a_second_vehicle_long_before_is_let_in_by_a_rule(books: Books) -> None:
    since = books.night(charged(1), other=[charged(1, day=date(2026, 1, 21))])
    assert books.stored[-1].sessions == 0
    books.night(charged(1))
    assert of_cause(books.explain(since)) == {Cause.RULE: Effect(1, figures(1, "5", "2", "1"))}


def test_a_session_that_cannot_be_used_any_more_is_kept_out_by_a_rule(books: Books) -> None:
    since = books.night(charged(1), charged(2))
    books.night(charged(1), malformed=[2])
    assert of_cause(books.explain(since)) == {Cause.RULE: Effect(1, figures(-1, "-5", "-2", "-1"))}


def test_a_session_that_broke_a_rule_before_it_could_not_be_used_counted_until_then(books: Books) -> None:
    since = books.night(charged(1), charged(2))
    books.night(charged(1), charged(2, energy_charged_kwh="-1"))
    books.night(charged(1), malformed=[2])
    assert of_cause(books.explain(since)) == {Cause.RULE: Effect(1, figures(-1, "-5", "-2", "-1"))}


def test_a_session_that_could_not_be_used_for_a_while_is_let_in_by_a_rule(books: Books) -> None:
    books.night(charged(1), charged(2))
    since = books.night(charged(1), malformed=[2])
    books.night(charged(1), charged(2))
    assert of_cause(books.explain(since)) == {Cause.RULE: Effect(1, figures(1, "5", "2", "1"))}


def test_a_session_that_could_not_be_used_at_first_is_let_in_by_a_rule(books: Books) -> None:
    since = books.night(charged(1), malformed=[2])
    books.night(charged(1), charged(2))
    assert of_cause(books.explain(since)) == {Cause.RULE: Effect(1, figures(1, "5", "2", "1"))}


def test_a_session_that_could_not_be_used_and_then_was_listed_no_longer_has_vanished(books: Books) -> None:
    since = books.night(charged(1), charged(2))
    books.night(charged(1), malformed=[2])
    books.night(charged(1))
    assert of_cause(books.explain(since)) == {Cause.VANISHED: Effect(1, figures(-1, "-5", "-2", "-1"))}


def test_what_a_changed_limit_does_is_the_settings(books: Books) -> None:
    since = books.night(charged(1), charged(2, energy_charged_kwh="50"))
    books.night(charged(1), charged(2, energy_charged_kwh="50"), energy_too_much_kwh="40")
    found = books.explain(since)
    assert of_cause(found) == {Cause.SETTING: Effect(1, figures(-1, "-50", "-2", "-1"))}
    assert found.settings_were_known
    assert found.settings_then.limits.replaced == {}
    assert found.settings_now.limits.replaced == {"energy_too_much_kwh": 40}


def test_what_another_rule_of_the_report_date_does_is_the_settings(books: Books) -> None:
    over_the_end = charged(1, MARCH.last, hours=20)
    since = books.night(over_the_end, charged(2))
    books.night(over_the_end, charged(2), report_date="plug_in_time")
    assert of_cause(books.explain(since)) == {Cause.SETTING: Effect(1, figures(1, "5", "2", "1"), moved_in=1)}


def test_a_session_that_reports_to_another_month_since_is_restated_and_told_from_and_to_which(books: Books) -> None:
    since = books.night(charged(1), charged(2, date(2026, 2, 10)), charged(3))
    books.night(charged(1, date(2026, 4, 2)), charged(2, date(2026, 2, 28), hours=20), charged(3))
    found = books.explain(since)
    assert of_cause(found) == {Cause.RESTATED: Effect(2, figures(0, "0", "0", "0"), moved_in=1, moved_out=1)}
    assert {(named.session_id.int, named.month_then, named.month_now) for named in found.sessions} == {
        (1, MARCH.first, date(2026, 4, 1)),
        (2, date(2026, 2, 1), MARCH.first),
    }


@pytest.mark.parametrize("report_date", ["session_end", "plug_in_time"])
def test_a_stay_of_many_weeks_is_found_on_both_sides(books: Books, report_date: str) -> None:
    weeks = charged(1, date(2026, 1, 21), hours=24 * 40)
    since = books.night(weeks, charged(2), report_date=report_date)
    books.night(charged(2), report_date=report_date)
    found = books.explain(since)
    assert (found.then, found.now) == (books.stored[0], books.stored[1])
    assert (Cause.VANISHED in of_cause(found)) == (report_date == "session_end")


def test_all_causes_at_once_are_told_apart(books: Books) -> None:
    since = books.night(
        charged(1), charged(2, hours=7), charged(3, energy_charged_kwh="300"), other=[charged(11, energy_charged_kwh="45")]
    )
    books.night(
        charged(1, actual_cost_eur="3"),
        charged(3, energy_charged_kwh="30"),
        charged(4, actual_savings_eur="9"),
        other=[charged(11, energy_charged_kwh="45"), charged(12, energy_charged_kwh="46"), charged(13)],
        energy_too_much_kwh="40",
    )
    found = books.explain(since)
    assert set(of_cause(found)) == set(Cause)
    assert (found.then, found.now, found.stored) == (books.stored[0], books.stored[1], books.stored[1])
    assert [named.change.savings_eur for named in found.sessions if named.cause is Cause.LATE] == [9, 1, 1]


def test_figures_that_wait_to_be_summed_up_are_shown_beside_those_of_now(books: Books) -> None:
    since = books.night(charged(1), charged(2, energy_charged_kwh="50"))
    books.derive(since, report_date="session_end", limits=Limits.of({"energy_too_much_kwh": "40"}))
    found = books.explain(since)
    assert (found.now.sessions, found.stored.sessions) == (1, 2)


def test_settings_of_a_time_before_any_deriving_are_taken_from_the_first(books: Books) -> None:
    books.night(charged(1), charged(2, energy_charged_kwh="50"), energy_too_much_kwh="40")
    books.night(charged(1), charged(2, energy_charged_kwh="50"))
    found = books.explain(FIRST_NIGHT)
    assert not found.settings_were_known
    assert found.settings_then.limits.replaced == {"energy_too_much_kwh": 40}
    assert of_cause(found) == {Cause.SETTING: Effect(1, figures(1, "50", "2", "1"))}


@pytest.mark.parametrize(
    ("month", "since", "told"),
    [
        (MARCH, LONG_AFTER + HOUR, "is yet to come"),
        (MARCH, FIRST_NIGHT - HOUR, "nothing was read before 2026-05-01 03:15:00 UTC; give a later instant"),
        (DayRange(date(2025, 6, 1), date(2025, 6, 30)), FIRST_NIGHT + HOUR, "no session reports to 2025-06"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(books: Books, month: DayRange, since: datetime, told: str) -> None:
    books.night(charged(1))
    with pytest.raises((NothingKnown, NothingToCompare), match=told) as refused:
        books.explain(since, month)
    assert "\n" not in str(refused.value)


def test_where_nothing_is_derived_yet_there_is_nothing_to_compare(books: Books) -> None:
    with pytest.raises(NothingToCompare, match="no figures have been derived yet"):
        books.explain(FIRST_NIGHT)


DAYS = st.sampled_from([date(2026, 1, 25), date(2026, 2, 28), MARCH.first, MIDDLE, MIDDLE, MARCH.last, date(2026, 4, 1)])
LISTED = st.builds(
    charged,
    st.integers(1, 4),
    DAYS,
    hours=st.sampled_from([2, 7, 30, 24 * 36]),
    energy_charged_kwh=st.sampled_from(["5", "5", "12.5", "300", "-1", None]),
    actual_cost_eur=st.sampled_from(["2", "-0.1", None]),
    actual_savings_eur=st.sampled_from(["1", "-3.000001", None]),
)
LISTS = st.lists(LISTED, max_size=4, unique_by=lambda row: row["id"])
NIGHTS = st.fixed_dictionaries(
    {
        "sessions": LISTS,
        "other": LISTS,
        "malformed": st.sets(st.integers(1, 4), max_size=1),
        "report_date": st.sampled_from(["session_end", "session_end", "plug_in_time"]),
        "limits": st.sampled_from([{}, {}, {"energy_too_much_kwh": "10"}, {"overlap_minutes": "180"}]),
    }
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nights=st.lists(NIGHTS, min_size=2, max_size=3))
def test_whatever_happens_then_is_what_stood_then_and_the_causes_sum_to_the_change(books: Books, nights: list[Row]) -> None:
    empty(books.connection)
    own = Books(books.connection, books.folder)
    instants = []
    for night in nights:
        malformed = night["malformed"] - {UUID(row["id"]).int for row in night["sessions"]}
        lists = {"other": night["other"], "malformed": sorted(malformed)}
        instants.append(own.night(*night["sessions"], **lists, report_date=night["report_date"], **night["limits"]))
    for since, stood in zip(instants, own.stored, strict=True):
        if stood.sessions or own.stored[-1].sessions:
            found = own.explain(since)
            assert (found.then, found.now, found.stored) == (stood, own.stored[-1], own.stored[-1])
