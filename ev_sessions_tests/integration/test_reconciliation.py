"""Our sums beside the API's own: who is asked, what agrees, what does not and why, and what people are told of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from shutil import copy
from typing import Any
from uuid import UUID

import dagster as dg
import pytest
from typer.testing import CliRunner, Result

from ev_sessions.cli.main import app
from ev_sessions.days import DayRange
from ev_sessions.sandbox import Quirks, Sandbox, SavingsPeriod
from ev_sessions.sandbox.faults import Kind
from ev_sessions.settings import variable
from ev_sessions.warehouse.publish import views_path
from ev_sessions.warehouse.reading import open_data
from ev_sessions_tests.operation import QUIET, Operation, later, operating
from ev_sessions_tests.pipeline import failures, findings, sandbox_with

FIRST_DAY, LAST_DAY = date(2025, 1, 26), date(2025, 3, 31)
FEBRUARY, MARCH, APRIL = date(2025, 2, 1), date(2025, 3, 1), date(2025, 4, 1)
OF_MARCH = UUID(int=3)
LONG_AFTER = datetime(2025, 5, 1, tzinfo=UTC)
VEHICLES = 6


def sandbox_of_two_months(**options: Any) -> Sandbox:  # noqa: ANN401 - options of all types
    return sandbox_with(**{"vehicles": VEHICLES, "days": 65, "end": LAST_DAY, "now": LONG_AFTER, **options})


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """February and March as they are read from any of these sandboxes: how they sum up changes no session."""
    with operating(sandbox_of_two_months(), tmp_path_factory.mktemp("read")) as operation:
        assert operation.pipeline.refresh(DayRange(FIRST_DAY, LAST_DAY)).success
        return operation.pipeline.state / "ev_sessions.duckdb"


class HavingRead:
    """Makes operations that have read February and March."""

    def __init__(self, database: Path, folder: Path) -> None:
        self._database = database
        self._folder = folder

    @contextmanager
    def __call__(self, sandbox: Sandbox, **settings: str) -> Iterator[Operation]:
        with operating(sandbox, self._folder, **settings) as operation:
            operation.pipeline.state.mkdir()
            copy(self._database, operation.pipeline.state)
            yield operation


@pytest.fixture
def having_read(database: Path, tmp_path: Path) -> HavingRead:
    """A maker of operations whose database is there already."""
    return HavingRead(database, tmp_path)


def reconcile(operation: Operation, **config: object) -> dg.ExecuteInProcessResult:
    """Run the job `reconcile`."""
    return operation.location.resolve_job_def("reconcile").execute_in_process(
        instance=operation.pipeline.instance,
        run_config={"ops": {"raw_reconciliations": {"config": config}}} | QUIET,
        raise_on_error=False,
    )


def outcomes(operation: Operation) -> dict[tuple[str, date], str]:
    """The newest outcome of each month, in total and per vehicle; of several vehicles the last by its name."""
    rows = operation.pipeline.rows(
        "SELECT coalesce(electric_vehicle_id::VARCHAR, 'all'), report_month, outcome FROM raw.reconciliations ORDER BY asked_at"
    )
    return {(vehicle, month): outcome for vehicle, month, outcome in rows}


def asked_vehicles(operation: Operation) -> list[UUID]:
    """The vehicles of the newest reconciliation."""
    return [
        vehicle
        for (vehicle,) in operation.pipeline.rows(
            "SELECT DISTINCT electric_vehicle_id FROM raw.reconciliations "
            "WHERE electric_vehicle_id IS NOT NULL AND asked_at = (SELECT max(asked_at) FROM raw.reconciliations)"
        )
    ]


def told(result: dg.ExecuteInProcessResult, check: str) -> tuple[str, dict[str, Any]]:
    """What a check says, and its metadata."""
    (found,) = [each for each in result.get_asset_check_evaluations() if each.check_name == check]
    assert found.severity is dg.AssetCheckSeverity.WARN
    return found.description or "", {name: value.value for name, value in found.metadata.items()}


GREEN = {"agrees_with_api_per_vehicle": True, "agrees_with_api_in_total": True}
RED = dict.fromkeys(GREEN, False)


def test_what_was_copied_right_agrees_month_by_month_with_a_request_a_vehicle(having_read: HavingRead) -> None:
    sandbox = sandbox_of_two_months()
    with having_read(sandbox) as operation:
        result = reconcile(operation)
        assert result.success, failures(result)
        assert findings(result) == GREEN
        assert sandbox.counts.savings == 2 + VEHICLES
        assert set(outcomes(operation).values()) == {"agrees"}
        assert len(outcomes(operation)) == 2 * (1 + VEHICLES)
        vehicle = sandbox.truth.vehicle_ids()[0]
        rows = sandbox.truth.sessions(vehicle, MARCH, LAST_DAY, LONG_AFTER)
        energy = sum(row["energy_charged_kwh"] or 0 for row in rows)
        found = operation.pipeline.rows(
            "SELECT sessions, api_sessions, energy_kwh, api_energy_kwh FROM raw.reconciliations "
            "WHERE electric_vehicle_id = ? AND report_month = ?",
            vehicle,
            MARCH,
        )
        assert found == [(len(rows), len(rows), energy, energy)]


@pytest.mark.parametrize("period", [SavingsPeriod.END, SavingsPeriod.LOCAL_END])
def test_an_api_that_cuts_its_months_another_way_is_shown_and_not_judged(having_read: HavingRead, period: SavingsPeriod) -> None:
    with having_read(sandbox_of_two_months(savings_period=period)) as operation:
        result = reconcile(operation)
        assert findings(result) == GREEN
        assert "may differ only in how a month is cut" in told(result, "agrees_with_api_in_total")[0]
        causes = operation.pipeline.rows("SELECT DISTINCT cause FROM raw.reconciliations WHERE outcome = 'edge'")
        assert causes == [("agrees where the month is cut by the UTC day of the end",)]
        assert set(outcomes(operation).values()) == {"agrees", "edge"}


def test_savings_that_the_api_has_wrong_are_listed_with_both_numbers_and_the_likely_cause(having_read: HavingRead) -> None:
    with having_read(sandbox_of_two_months(wrong_savings=0.5)) as operation:
        result = reconcile(operation)
        assert result.success
        assert findings(result) == RED
        differing = operation.pipeline.rows(
            "SELECT savings_eur, api_savings_eur, sessions - api_sessions, energy_kwh - api_energy_kwh, cause "
            "FROM raw.reconciliations WHERE outcome = 'differs' AND electric_vehicle_id IS NOT NULL"
        )
        assert len(differing) == 6
        for ours, theirs, *others, cause in differing:
            assert theirs == pytest.approx(ours * Decimal("1.05"), abs=Decimal("0.0001"))
            assert others == [0, 0]
            assert cause.startswith("savings: nothing here explains it: the API's sums are off")
        sentence, metadata = told(result, "agrees_with_api_per_vehicle")
        assert sentence == "of 12 months asked, 6 agree, 6 differ"
        assert metadata["vehicles_differing"] == 3
        assert metadata["api_savings_eur"] > metadata["savings_eur"] > 0
        assert metadata["api_energy_kwh"] == metadata["energy_kwh"]
        assert told(result, "agrees_with_api_in_total")[0] == "of 2 months asked, 2 differ"


def test_a_limit_decides_how_far_sums_may_differ(having_read: HavingRead) -> None:
    with having_read(sandbox_of_two_months(wrong_savings=1), limits="reconciled_share=0.05") as operation:
        assert findings(reconcile(operation)) == GREEN


def test_no_event_names_a_vehicle_or_a_person(having_read: HavingRead) -> None:
    sandbox = sandbox_of_two_months(wrong_savings=0.5, odd_savings=True)
    with having_read(sandbox) as operation:
        reconcile(operation)
        instance = operation.pipeline.instance
        (run,) = instance.get_runs(dg.RunsFilter(job_name="reconcile"))
        events = "".join(str(record.event_log_entry) for record in instance.get_records_for_run(run.run_id).records)
        secrets = {str(vehicle) for vehicle in sandbox.truth.vehicle_ids()} | sandbox.truth.personal_values(sandbox.now)
        assert not [text for text in secrets if text in events]


def test_a_shape_that_nobody_expects_is_a_warning_that_shows_it_and_no_value_of_it(having_read: HavingRead) -> None:
    sandbox = sandbox_of_two_months(odd_savings=True)
    with having_read(sandbox) as operation:
        result = reconcile(operation)
        assert result.success
        assert findings(result) == RED
        assert told(result, "agrees_with_api_in_total")[1]["unexpected"] == (
            "an answer of unexpected shape: {count: number, asked_by: text, results: [{amount: number}, 1 in all]}"
        )
        assert set(outcomes(operation).values()) == {"unexpected"}
        causes = str(operation.pipeline.rows("SELECT DISTINCT cause FROM raw.reconciliations"))
        assert not [text for text in sandbox.truth.personal_values(sandbox.now) if text in causes]


def test_the_budget_holds_and_every_vehicle_has_its_turn(having_read: HavingRead) -> None:
    sandbox = sandbox_of_two_months()
    with having_read(sandbox, reconcile_requests="4") as operation:
        asked: list[UUID] = []
        for _ in range(3):
            operation.now += later(days=1)
            sandbox.counts.reset()
            assert reconcile(operation).success
            assert sandbox.counts.savings == 4
            assert len(asked_vehicles(operation)) == 2
            asked += asked_vehicles(operation)
        assert sorted(asked) == sorted(sandbox.truth.vehicle_ids())
        operation.now += later(days=1)
        reconcile(operation)
        assert set(asked_vehicles(operation)) == set(asked[:2])


def test_where_requests_are_few_the_organisations_months_take_turns(having_read: HavingRead) -> None:
    with having_read(sandbox_of_two_months(), reconcile_requests="2") as operation:
        for _ in range(3):
            operation.now += later(days=7)
            assert reconcile(operation).success
        asked = operation.pipeline.rows(
            "SELECT report_month FROM raw.reconciliations WHERE electric_vehicle_id IS NULL ORDER BY asked_at"
        )
        assert asked == [(MARCH,), (FEBRUARY,), (MARCH,)]


def test_a_vehicle_that_was_there_only_in_a_month_that_is_not_asked_for_takes_no_request(having_read: HavingRead) -> None:
    sandbox = sandbox_of_two_months(now=datetime(2025, 6, 1, tzinfo=UTC))
    with having_read(sandbox) as operation:
        operation.pipeline.change(
            "INSERT INTO analytics.fleet_daily SELECT * REPLACE (session_day + 31 AS session_day) FROM analytics.fleet_daily "
            "WHERE session_day BETWEEN '2025-03-01' AND '2025-03-30'"
        )
        operation.pipeline.change("DELETE FROM analytics.fleet_daily WHERE session_day = '2025-03-10'")
        operation.pipeline.change(
            f"INSERT INTO raw.vehicles SELECT * REPLACE ('{OF_MARCH}' AS electric_vehicle_id, "
            "'2025-03-04 10:00:00+00' AS created_at, '2025-03-20 10:00:00+00' AS deleted_at) FROM raw.vehicles LIMIT 1"
        )
        result = reconcile(operation, vehicles=VEHICLES)
        assert result.success, failures(result)
        assert {month for _, month in outcomes(operation)} == {FEBRUARY, APRIL}
        assert sorted(asked_vehicles(operation)) == sorted(sandbox.truth.vehicle_ids())
        assert sandbox.counts.savings == 2 + VEHICLES


def test_a_vehicle_that_differed_is_asked_again_at_once_and_the_others_still_have_their_turn(having_read: HavingRead) -> None:
    sandbox = sandbox_of_two_months(wrong_savings=0.2)
    with having_read(sandbox, reconcile_requests="5") as operation:
        seen: list[set[UUID]] = []
        for _ in range(4):
            operation.now += later(days=7)
            reconcile(operation)
            seen.append(set(asked_vehicles(operation)))
        differing = {UUID(name) for (name, _), outcome in outcomes(operation).items() if outcome == "differs" and name != "all"}
        (wrong,) = differing
        first = next(number for number, vehicles in enumerate(seen) if wrong in vehicles)
        assert all(wrong in vehicles for vehicles in seen[first:])
        assert set().union(*seen) == set(sandbox.truth.vehicle_ids())


def test_repeated_requests_count_towards_the_budget(having_read: HavingRead) -> None:
    sandbox = sandbox_of_two_months()
    with having_read(sandbox, reconcile_requests="7", max_concurrency="1") as operation:
        sandbox.fail_next(2, kind=Kind.SAVINGS, status=429, headers={"retry-after": "0"})
        result = reconcile(operation)
        assert findings(result) == GREEN
        assert sandbox.counts.savings == 7
        assert sandbox.counts.refused_429 == 2
        assert len(asked_vehicles(operation)) == 3


def test_a_vehicle_that_is_gone_is_told_and_the_others_are_compared(having_read: HavingRead) -> None:
    sandbox = sandbox_of_two_months()
    gone = sandbox.truth.vehicle_ids()[0]
    with having_read(sandbox) as operation:
        sandbox.quirks[gone] = Quirks(status=404)
        result = reconcile(operation)
        assert findings(result)["agrees_with_api_per_vehicle"]
        assert told(result, "agrees_with_api_per_vehicle")[0] == "of 12 months asked, 10 agree, 2 could not be read"
        found = operation.pipeline.rows("SELECT DISTINCT cause FROM raw.reconciliations WHERE electric_vehicle_id = ?", gone)
        assert found == [("the savings of a vehicle: the API answers 404, which asking again does not change",)]


def test_where_nothing_could_be_read_nothing_is_proved(having_read: HavingRead) -> None:
    sandbox = sandbox_of_two_months()
    with having_read(sandbox, max_attempts="1") as operation:
        sandbox.fail_next(100, kind=Kind.SAVINGS, status=500)
        result = reconcile(operation)
        assert result.success
        assert findings(result) == RED
        assert told(result, "agrees_with_api_in_total")[0] == "of 2 months asked, 2 could not be read"


def test_refused_credentials_fail_the_run_in_one_sentence(having_read: HavingRead) -> None:
    sandbox = sandbox_of_two_months()
    with having_read(sandbox) as operation:
        sandbox.client_secret = "another"  # noqa: S105 - of a sandbox
        (cause,) = failures(reconcile(operation))
        assert "client id and secret" in cause


def test_a_session_that_the_api_lost_makes_ours_more_until_it_is_read_again(having_read: HavingRead) -> None:
    sandbox = sandbox_of_two_months()
    vehicle = sandbox.truth.vehicle_ids()[0]
    lost = sandbox.truth.listings(vehicle, date(2025, 3, 15), date(2025, 3, 20))[0].id
    with having_read(sandbox) as operation:
        sandbox.withdraw([lost])
        assert findings(reconcile(operation))["agrees_with_api_per_vehicle"] is False
        assert outcomes(operation)[str(vehicle), MARCH] == "differs"
        assert operation.pipeline.refresh(DayRange(FIRST_DAY, LAST_DAY)).success
        operation.now += later(days=1)
        assert findings(reconcile(operation)) == GREEN


def test_neither_a_refresh_nor_a_backfill_asks_for_any_sum(tmp_path: Path) -> None:
    sandbox = sandbox_with(vehicles=1)
    with operating(sandbox, tmp_path) as operation:
        assert operation.pipeline.refresh(DayRange(date(2025, 3, 30), date(2025, 3, 31))).success
        keys = [dg.AssetKey(name) for name in ("raw_sessions", "sessions", "rule_hits", "fleet_daily")]
        of_a_backfill = dg.AssetSelection.checks_for_assets(*keys).resolve_checks(
            operation.location.resolve_asset_graph()  # the checks that the page brings along with these assets
        )
        assert of_a_backfill
        assert not {check.name for check in of_a_backfill} & GREEN.keys()
        assert sandbox.counts.savings == 0


def test_once_a_week_the_reconciliation_runs_by_itself_and_nothing_with_it(having_read: HavingRead) -> None:
    with having_read(sandbox_of_two_months()) as operation:
        schedule = operation.location.resolve_schedule_def("reconcile")
        context = dg.build_schedule_context(
            scheduled_execution_time=operation.now, repository_def=operation.location.get_repository_def()
        )
        (request,) = schedule.evaluate_tick(context).run_requests or []
        assert (schedule.cron_schedule, request.partition_key) == ("45 5 * * 1", None)
        result = reconcile(operation)
        assert {event.asset_key for event in result.get_asset_materialization_events()} == {dg.AssetKey("raw_reconciliations")}
        assert findings(result).keys() == GREEN.keys()


def test_before_a_month_is_old_enough_nobody_is_asked(having_read: HavingRead) -> None:
    sandbox = sandbox_of_two_months(now=datetime(2025, 3, 14, tzinfo=UTC))
    with having_read(sandbox) as operation:
        result = reconcile(operation)
        assert findings(result) == GREEN
        assert told(result, "agrees_with_api_per_vehicle")[0] == "nothing has been reconciled yet"
        assert sandbox.counts.savings == 0
        operation.now += later(days=1)
        reconcile(operation)
        assert {month for _, month in outcomes(operation)} == {FEBRUARY}


def test_a_month_that_nobody_has_read_whole_is_asked_for_by_name_alone(having_read: HavingRead) -> None:
    with having_read(sandbox_of_two_months()) as operation:
        operation.pipeline.change("DELETE FROM analytics.fleet_daily WHERE session_day = '2025-02-10'")
        reconcile(operation)
        assert {month for _, month in outcomes(operation)} == {MARCH}
        reconcile(operation, month="2025-02")
        assert {month for _, month in outcomes(operation)} == {FEBRUARY, MARCH}


def test_readers_find_the_reconciliations_as_soon_as_they_are_there(having_read: HavingRead) -> None:
    with having_read(sandbox_of_two_months()) as operation:
        views = views_path(operation.pipeline.state / "published")
        for rows in (4, 8):
            operation.now += later(days=1)
            reconcile(operation, vehicles=1)
            assert len(open_data(views).sql("FROM raw.reconciliations")) == rows


# The command


def command(*options: str) -> Result:
    return CliRunner().invoke(app, ["reconcile", *options])


def test_the_command_ends_with_0_where_all_agrees_and_says_what_that_proves(having_read: HavingRead) -> None:
    with having_read(sandbox_of_two_months()):
        result = command("--month", "2025-03", "--vehicles", "2")
    assert result.exit_code == 0, result.stderr
    assert "The organisation and 2 vehicles, 3 months in all: agrees 3." in result.stdout
    assert "copied right, not that the platform's savings are" in " ".join(result.stdout.split())


def test_the_command_ends_with_3_and_a_list_where_something_differs(having_read: HavingRead) -> None:
    sandbox = sandbox_of_two_months(wrong_savings=1)
    with having_read(sandbox):
        shown = command("--month", "2025-02")
        assert shown.exit_code == 3
        # An id that is cut off is none, however narrow the terminal.
        assert all(str(vehicle) in shown.stdout for vehicle in sandbox.truth.vehicle_ids())
        result = command("--month", "2025-03", "--vehicles", "2", "--json")
    assert result.exit_code == 3
    answer = json.loads(result.stdout)
    assert (answer["months"], answer["vehicles"], answer["outcomes"]) == (["2025-03"], 2, {"differs": 3})
    total, *vehicles = answer["not_agreeing"]
    assert total["electric_vehicle_id"] is None
    assert {UUID(row["electric_vehicle_id"]) for row in vehicles} <= set(sandbox.truth.vehicle_ids())
    assert Decimal(total["api_savings_eur"]) > Decimal(total["savings_eur"])
    assert all(not text.endswith("0") for text in (total["savings_eur"], total["api_savings_eur"]) if "." in text)
    assert total["asked_at"].endswith("Z")
    assert total["report_month"] == "2025-03-01"
    assert all(row["cause"] for row in answer["not_agreeing"])


@pytest.mark.parametrize(
    ("month", "told"),
    [
        ("March", "'March' is not a month; write it as YYYY-MM"),
        ("2025-13", "'2025-13' is not a month"),
        ("2025-01", "begins before the first day, 2025-01-26"),
        ("2999-01", "is not over yet"),
    ],
)
def test_a_month_that_cannot_be_reconciled_is_told_in_one_line(tmp_path: Path, month: str, told: str) -> None:
    with operating(sandbox_of_two_months(), tmp_path):
        result = command("--month", month)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert told in line
    assert variable("state_dir") not in line


def test_before_the_first_run_the_command_says_what_to_do(tmp_path: Path) -> None:
    with operating(sandbox_of_two_months(), tmp_path):
        result = command()
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "no database at" in line
