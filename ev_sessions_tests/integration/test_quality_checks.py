"""The checks of `sessions`: what each family of rules tells of the days of a run, and what happens where figures disagree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ev_sessions.automation.refresh import range_tags
from ev_sessions.checks.findings import Finding
from ev_sessions.checks.quality import agreement_of_figures
from ev_sessions.days import ONE_DAY, DayRange, utc_today
from ev_sessions.definitions import build_defs
from ev_sessions.resources import WarehouseResource
from ev_sessions.settings import Settings
from ev_sessions.tables import RAW_FETCHES, RAW_QUARANTINE, RAW_SESSIONS, RAW_VEHICLES, RULE_HITS
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.monthly import pending_months, sum_months
from ev_sessions.warehouse.rules import BY_NAME, Family
from ev_sessions_tests.pipeline import failures, named
from ev_sessions_tests.raw_rows import DAY, NOW, derive_days, insert, kept_out, read, session, vehicle

DAYS = DayRange(DAY, DAY + ONE_DAY)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Judged:
    """A warehouse with a few derived days, and a Dagster instance of its own."""

    environ: dict[str, str]
    instance: dg.DagsterInstance

    @property
    def settings(self) -> Settings:
        return Settings.from_env(self.environ)

    @property
    def database(self) -> Database:
        return Database(self.settings.database_path)

    def change(self, statement: str, *values: object) -> None:
        with self.database.writing() as connection:
            connection.execute(statement, values)

    def publish(self) -> None:
        WarehouseResource.from_settings(self.settings).publish()

    def agreement(self) -> Finding:
        """Whether the figures of both days agree."""
        with self.database.reading() as connection:
            return agreement_of_figures(connection, self.settings.published_path, DAYS)

    def check(self, days: DayRange | None = DAYS) -> dg.ExecuteInProcessResult:
        """Run the checks of `sessions` over the partitions `days`, or over none."""
        keys = [dg.AssetCheckKey(dg.AssetKey("sessions"), name) for name in (*Family, "figures_agree")]
        alone = dg.Definitions(jobs=[dg.define_asset_job("checks_alone", selection=dg.AssetSelection.checks(*keys))])
        job = dg.Definitions.merge(build_defs(self.environ), alone).resolve_job_def("checks_alone")
        return job.execute_in_process(
            instance=self.instance, tags=range_tags(days) if days else {}, raise_on_error=False, run_config=QUIET
        )

    def told(self, check: str, days: DayRange = DAYS) -> dg.AssetCheckEvaluation:
        (evaluation,) = [found for found in self.check(days).get_asset_check_evaluations() if found.check_name == check]
        return evaluation


@pytest.fixture
def judged(tmp_path: Path) -> Iterator[Judged]:
    """Two days with a session each, summed up, on which no rule is known to be broken. Nothing is published yet."""
    with dg.DagsterInstance.ephemeral(str(tmp_path / "artifacts")) as instance:
        found = Judged(named({"state_dir": str(tmp_path / "state"), "first_day": "2024-01-01"}), instance)
        with found.database.writing() as connection:
            insert(connection, RAW_VEHICLES, vehicle("v1"))
            measured: dict[str, Any] = {
                "energy_charged_kwh": Decimal("10.5"),
                "actual_cost_eur": Decimal(2),
                "actual_savings_eur": Decimal("-0.3"),
            }
            insert(connection, RAW_SESSIONS, session("a", **measured), session("b", day=DAYS.last, **measured))
            insert(connection, RAW_FETCHES, read("v1", DAYS.first, DAYS.last))
            derive_days(connection, DAYS.first, DAYS.last)
            sum_months(connection, pending_months(connection), run_id="months", derived_at=NOW)
            connection.execute("TRUNCATE analytics.rule_hits")
        yield found


def hit(rule: str, day: date = DAY, hits: int = 1) -> dict[str, Any]:
    declared = BY_NAME[rule]
    return {
        "session_day": day,
        "rule": rule,
        "family": declared.family,
        "severity": declared.severity,
        "hits": hits,
        "derived_at": NOW,
        "derived_by_run_id": "derive",
    }


def with_hits(judged: Judged, *hits: dict[str, Any]) -> Judged:
    with judged.database.writing() as connection:
        insert(connection, RULE_HITS, *hits)
    return judged


def rows_of(evaluation: dg.AssetCheckEvaluation, table: str) -> list[dict[str, Any]]:
    shown = evaluation.metadata[table]
    assert isinstance(shown, dg.TableMetadataValue)
    return [dict(record.data) for record in shown.records]


def test_nothing_broken_turns_every_check_green_and_the_run_succeeds(judged: Judged) -> None:
    result = judged.check()
    assert result.success
    assert {found.check_name: found.passed for found in result.get_asset_check_evaluations()} == {
        **{family.value: True for family in Family},
        "figures_agree": True,
    }


def test_checks_that_run_alone_look_at_the_days_that_a_daily_refresh_would_read(judged: Judged) -> None:
    yesterday = utc_today(datetime.now(UTC)) - ONE_DAY
    with_hits(judged, hit("no_end", yesterday - timedelta(days=judged.settings.lookback_days - 1)))
    found = {evaluation.check_name: evaluation.passed for evaluation in judged.check(None).get_asset_check_evaluations()}
    assert found == {**{family.value: True for family in Family}, "figures_agree": True, "time": False}


def test_an_error_is_red_a_warning_yellow_and_what_is_only_counted_stays_green(judged: Judged) -> None:
    with_hits(judged, hit("negative_energy"), hit("much_energy"), hit("long_stay"), hit("negative_cost"))
    found = {evaluation.check_name: evaluation for evaluation in judged.check().get_asset_check_evaluations()}
    assert (found["energy"].passed, found["energy"].severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert (found["time"].passed, found["time"].severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found["money"].passed
    assert rows_of(found["money"], "rules")[0]["rule"] == "negative_cost"
    assert found["identity"].passed


def test_broken_rules_of_every_family_let_the_run_succeed(judged: Judged) -> None:
    worst = ("malformed", "sentinel_date", "unit_slip", "soc_fell", "impossible_cost", "counted_twice", "vanished")
    result = with_hits(judged, *(hit(rule) for rule in worst)).check()
    assert result.success
    assert {found.check_name for found in result.get_asset_check_evaluations() if not found.passed} == set(Family)


def test_a_check_tells_each_rule_with_its_count_its_days_and_its_share_and_each_day_with_its_counts(judged: Judged) -> None:
    with_hits(judged, hit("long_stay"), hit("long_stay", DAYS.last), hit("no_end", DAYS.last))
    evaluation = judged.told("time")
    assert evaluation.description == "warn: long_stay 2, no_end 1"
    assert rows_of(evaluation, "rules") == [
        {"rule": "long_stay", "severity": "warn", "count": 2, "days": 2, "share": "100.00%"},
        {"rule": "no_end", "severity": "warn", "count": 1, "days": 1, "share": "50.00%"},
    ]
    assert rows_of(evaluation, "rules_by_day") == [
        {"day": "2026-03-10", "long_stay": 1, "no_end": 0},
        {"day": "2026-03-11", "long_stay": 1, "no_end": 1},
    ]


def test_hits_on_other_days_than_those_of_the_run_are_not_told(judged: Judged) -> None:
    assert with_hits(judged, hit("no_end", DAYS.last)).told("time", DayRange(DAY, DAY)).passed


def test_the_table_of_a_long_range_names_the_last_31_days_and_sums_the_others_up(judged: Judged) -> None:
    with_hits(judged, *(hit("no_end", DAY + timedelta(days=number)) for number in range(40)))
    shown = rows_of(judged.told("time", DayRange(DAY, DAY + timedelta(days=50))), "rules_by_day")
    assert len(shown) == 32
    assert shown[0] == {"day": "earlier", "no_end": 9}


def test_an_answer_of_another_length_than_its_total_turns_volume_red(judged: Judged) -> None:
    judged.change("UPDATE raw.fetches SET outcome = 'count_mismatch'")
    evaluation = judged.told("volume")
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert rows_of(evaluation, "rules") == [{"rule": "count_mismatch", "severity": "error", "count": 2, "days": 2, "share": ""}]


def test_no_id_and_no_value_of_a_record_is_told(judged: Judged) -> None:
    with judged.database.writing() as connection:
        insert(connection, RAW_QUARANTINE, kept_out("k", payload='{"email": "jane@example.org"}'))
        insert(connection, RULE_HITS, hit("malformed"))
    result = judged.check()
    told = repr([evaluation.metadata for evaluation in result.get_asset_check_evaluations()])
    assert "malformed" in told
    assert "jane" not in told
    ((vehicle_id,),) = _query(judged, "SELECT DISTINCT electric_vehicle_id::VARCHAR FROM raw.sessions")
    assert vehicle_id not in told


def _query(judged: Judged, query: str) -> list[tuple[Any, ...]]:
    with judged.database.reading() as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "UPDATE analytics.sessions SET energy_charged_kwh = 11 WHERE session_day = '2026-03-10'",
            "energy_kwh of 2026-03-10 is 10.500000 in analytics.daily_energy and 11.000000 in analytics.sessions",
        ),
        (
            "UPDATE analytics.daily_energy SET energy_kwh = energy_kwh + 0.000001 WHERE session_day = '2026-03-11'",
            "energy_kwh of 2026-03-11 is 10.500001 in analytics.daily_energy and 10.500000 in analytics.sessions",
        ),
        (
            "UPDATE analytics.daily_savings SET savings_eur = NULL WHERE session_day = '2026-03-10'",
            "savings_eur of 2026-03-10 is None in analytics.daily_savings and -0.300000 in analytics.sessions",
        ),
        (
            "UPDATE analytics.fleet_daily SET sessions = 2 WHERE session_day = '2026-03-10'",
            "sessions of 2026-03-10 is 2 in analytics.fleet_daily and 1 in analytics.sessions",
        ),
        (
            "DELETE FROM analytics.daily_savings WHERE session_day = '2026-03-10'",
            "sessions of 2026-03-10 is 0 in analytics.daily_savings and 1 in analytics.sessions",
        ),
        (
            "UPDATE analytics.fleet_daily SET vehicles_due = vehicles_read + 1 WHERE session_day = '2026-03-11'",
            "vehicles_unread of 2026-03-11 is 0 in analytics.unread_vehicle_days and 1 in analytics.fleet_daily",
        ),
        (
            "UPDATE analytics.monthly_savings SET cost_eur = 3",
            "cost_eur of 2026-03-01 is 3.000000 in analytics.monthly_savings and 4.000000 in analytics.sessions",
        ),
    ],
)
def test_a_table_that_does_not_add_up_is_named_with_both_sums(judged: Judged, statement: str, told: str) -> None:
    judged.change(statement)
    found = judged.agreement()
    assert not found.passed
    assert found.sentence.startswith(told)
    assert "ev-sessions requarantine --from 2026-03-10 --to 2026-03-11" in found.sentence


def test_figures_that_disagree_are_red_and_fail_the_run_in_the_same_words(judged: Judged) -> None:
    judged.change("UPDATE analytics.daily_energy SET energy_kwh = 1")
    result = judged.check()
    assert not result.success
    (evaluation,) = [found for found in result.get_asset_check_evaluations() if found.check_name == "figures_agree"]
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert failures(result) == [evaluation.description]


def test_a_published_file_that_is_not_its_table_is_named_with_both_sums(judged: Judged) -> None:
    judged.publish()
    # Behind the back of the publishing, which tells what to write by when a day was derived.
    judged.change("UPDATE analytics.sessions SET actual_cost_eur = 1 WHERE session_day = '2026-03-10'")
    judged.change("UPDATE analytics.daily_savings SET cost_eur = 1 WHERE session_day = '2026-03-10'")
    judged.change("UPDATE analytics.fleet_daily SET cost_eur = 1 WHERE session_day = '2026-03-10'")
    judged.change("UPDATE analytics.monthly_savings SET cost_eur = 3")
    assert judged.agreement().sentence.startswith(
        "cost_eur of 2026-03-10 is 2.000000 in the published analytics.sessions and 1.000000 in analytics.sessions, "
        "and 3 more differ"
    )


def test_a_month_that_waits_to_be_summed_up_is_left_out_and_said(judged: Judged) -> None:
    judged.change("UPDATE analytics.monthly_savings SET cost_eur = 3, derived_at = now()")
    judged.change("INSERT INTO raw.touched_months VALUES ('2026-03-01', now(), 'derive')")
    found = judged.agreement()
    assert found.passed
    assert found.sentence == (
        "tables and published files of 2026-03-10..2026-03-11 add up; not compared yet: "
        "months to be summed up 1, days to be published 2"
    )


def test_days_that_are_not_published_yet_are_left_out_and_said(judged: Judged) -> None:
    judged.publish()
    with judged.database.writing() as connection:
        connection.execute("UPDATE raw.sessions SET actual_cost_eur = 1")
        derive_days(connection, DAY, derived_at=NOW + ONE_DAY)
        sum_months(connection, pending_months(connection), run_id="months", derived_at=NOW + ONE_DAY)
    assert judged.agreement().sentence == (
        "tables and published files of 2026-03-10..2026-03-11 add up; not compared yet: days to be published 1"
    )
    judged.publish()
    assert judged.agreement().sentence == "tables and published files of 2026-03-10..2026-03-11 add up"


def test_sessions_of_a_month_that_the_monthly_table_does_not_have_are_told(judged: Judged) -> None:
    judged.change("TRUNCATE analytics.monthly_savings")
    assert judged.agreement().sentence.startswith(
        "sessions of 2026-03-01 is 0 in analytics.monthly_savings and 2 in analytics.sessions"
    )
