"""The graph: it loads without settings, says what it is, stands beside others, and asks for the right days."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from ev_sessions.definitions import build_defs, defs
from ev_sessions.settings import SettingsError
from ev_sessions.tables import DAILY_TABLES

DAILY = {"raw_sessions", "sessions", "daily_energy", "daily_savings", "rule_hits", "unread_vehicle_days", "fleet_daily"}
MONTHLY = {"touched_months", "monthly_savings"}
ASSETS = {"raw_users", "raw_vehicles", "raw_reconciliations"} | DAILY | MONTHLY


def specs_of(location: dg.Definitions) -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in location.resolve_all_asset_specs()}


def test_the_code_location_loads_without_any_setting() -> None:
    assert set(specs_of(build_defs({}))) == ASSETS


def test_the_code_location_that_dagster_loads_runs_everything_in_one_process() -> None:
    assert defs().executor is dg.in_process_executor


def test_a_malformed_setting_keeps_the_code_location_from_loading() -> None:
    with pytest.raises(SettingsError, match="EV_SESSIONS_FIRST_DAY is malformed"):
        build_defs({"EV_SESSIONS_FIRST_DAY": "soon"})


def test_every_asset_says_what_it_is_and_whose() -> None:
    for spec in specs_of(build_defs({})).values():
        assert spec.description
        assert spec.group_name in {"raw", "analytics"}
        assert spec.owners == ["team:ev-sessions"]
        assert "duckdb" in spec.kinds
        assert spec.metadata["dagster/table_name"]
        assert spec.metadata["dagster/column_schema"].columns


def test_the_way_of_the_data_is_the_way_of_the_graph() -> None:
    specs = specs_of(build_defs({}))
    upstream = {name: {dep.asset_key.to_user_string() for dep in spec.deps} for name, spec in specs.items()}
    assert upstream["raw_vehicles"] == {"raw_users"}
    assert upstream["raw_sessions"] == {"raw_users", "raw_vehicles"}
    assert upstream["sessions"] == {"raw_sessions"}
    assert upstream["daily_energy"] == upstream["daily_savings"] == upstream["fleet_daily"] == {"sessions"}
    assert upstream["unread_vehicle_days"] == {"raw_sessions"}
    assert upstream["touched_months"] == {"daily_savings"}
    assert upstream["monthly_savings"] == {"touched_months"}
    assert upstream["raw_reconciliations"] == {"raw_sessions"}


def test_no_derived_asset_is_reached_by_several_ways_else_a_backfill_is_refused_at_every_other_start_of_the_page() -> None:
    specs = specs_of(build_defs({}))
    assert {len(list(specs[table.name].deps)) for table in DAILY_TABLES} == {1}


def test_a_backfill_run_covers_as_many_days_as_the_setting_says() -> None:
    location = build_defs({"EV_SESSIONS_MAX_PARTITIONS_PER_RUN": "31"})
    for table in ("raw_sessions", "fleet_daily"):
        policy = location.resolve_assets_def(table).backfill_policy
        assert policy is not None
        assert policy.max_partitions_per_run == 31


def test_partitions_begin_with_the_first_day() -> None:
    partitions = build_defs({"EV_SESSIONS_FIRST_DAY": "2026-02-01"}).resolve_assets_def("raw_sessions").partitions_def
    assert partitions is not None
    assert partitions.get_first_partition_key() == "2026-02-01"


def test_no_secret_stands_in_the_resources_only_the_name_of_its_variable() -> None:
    location = build_defs({"EV_SESSIONS_CLIENT_SECRET": "s3cret", "EV_SESSIONS_CLIENT_ID": "me"})
    resources = location.resources or {}
    assert "s3cret" not in repr(resources["partner_api"])
    assert "EV_SESSIONS_CLIENT_SECRET" in repr(resources["partner_api"])


def daily_refresh(environ: dict[str, str], at: datetime) -> dg.RunRequest | str:
    location = build_defs(environ)
    schedule = location.resolve_schedule_def("daily_refresh")
    ticked = schedule.evaluate_tick(
        dg.build_schedule_context(scheduled_execution_time=at, repository_def=location.get_repository_def())
    )
    return ticked.run_requests[0] if ticked.run_requests else ticked.skip_message or ""


def test_the_daily_refresh_asks_for_one_ranged_run_of_yesterday_and_the_lookback() -> None:
    request = daily_refresh({}, datetime(2026, 3, 1, 3, 15, tzinfo=UTC))
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/asset_partition_range_start"] == "2026-02-14"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-02-28"


def test_the_daily_refresh_does_not_ask_for_days_before_the_first() -> None:
    request = daily_refresh({"EV_SESSIONS_FIRST_DAY": "2026-02-27"}, datetime(2026, 3, 1, 3, 15, tzinfo=UTC))
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/asset_partition_range_start"] == "2026-02-27"


def test_the_daily_refresh_skips_with_a_sentence_while_there_is_no_day_to_read() -> None:
    told = daily_refresh({"EV_SESSIONS_FIRST_DAY": "2026-03-01"}, datetime(2026, 3, 1, 3, 15, tzinfo=UTC))
    assert told == "The first day, 2026-03-01, is not over yet, so there is nothing to read."


def test_the_graph_stands_beside_the_assets_of_another_code_location() -> None:
    @dg.asset
    def sessions() -> None:
        """Somebody else's, of the same name."""

    @dg.asset(deps=[dg.AssetKey(["ev", "fleet_daily"])])
    def report() -> None:
        """Built on ours."""

    theirs = dg.Definitions(assets=[sessions, report], executor=dg.multiprocess_executor)
    merged = dg.Definitions.merge(theirs, build_defs({}, key_prefix=["ev"]))
    dg.Definitions.validate_loadable(merged)
    assert set(specs_of(merged)) == {"sessions", "report"} | {f"ev/{name}" for name in ASSETS}
    assert merged.resolve_job_def("ev__refresh")
    assert merged.resolve_schedule_def("ev__daily_refresh")


def test_a_resource_of_the_caller_replaces_ours() -> None:
    class Other:
        """Not a resource of ours."""

    other = Other()
    assert (build_defs({}, resources={"progress": other}).resources or {})["progress"] is other


def test_the_derived_tables_are_one_step() -> None:
    location = build_defs({})
    ops = {location.resolve_assets_def(table.name).op.name for table in DAILY_TABLES}
    assert ops == {"derived"}


def test_the_partitions_begin_with_2024_where_no_first_day_is_set() -> None:
    partitions = build_defs({}).resolve_assets_def("raw_sessions").partitions_def
    assert partitions is not None
    assert partitions.get_first_partition_key() == "2024-01-01"
