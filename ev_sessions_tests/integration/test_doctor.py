"""`ev-sessions doctor`: what it finds of settings, machine, database and API, in one line each, and that it changes nothing."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner

from ev_sessions.cli.examine import Finding, State
from ev_sessions.cli.examine_api import Asked, examine_api
from ev_sessions.cli.home import prepare_history
from ev_sessions.cli.main import app
from ev_sessions.days import ONE_DAY, DayRange, utc_today
from ev_sessions.partner_api import BearerToken, PartnerApiConfig
from ev_sessions.sandbox import Quirks, Sandbox, serving
from ev_sessions.settings import SessionDay
from ev_sessions.tables import RAW_VEHICLES
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.schema import SCHEMA_VERSION
from ev_sessions_tests.broken import stamp_once_more
from ev_sessions_tests.integration.partner_apis import ORG, answering, in_turn, response
from ev_sessions_tests.pipeline import LAST_DAY, Pipeline, named, sandbox_with, trailing, write_fleet_file
from ev_sessions_tests.raw_rows import insert, vehicle

CHECKS = ["settings", "limits", "versions", "token", "organisation", "fleet", "sessions"]
CHECKS += ["database", "rules", "history", "storage", "unattended", "clock"]


@dataclass(frozen=True)
class Visit:
    """What a call of the doctor printed, and its exit status."""

    status: int
    output: str
    complaint: str

    @property
    def findings(self) -> list[Finding]:
        """The lines that tell of a check."""
        lines = [line.split(maxsplit=2) for line in self.output.splitlines() if line.split()[0] in set(State)]
        return [Finding(check, State(state), text) for state, check, text in lines]

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong, by check."""
        return {finding.check: finding.text for finding in self.findings if finding.state is State.PROBLEM}

    @property
    def skipped(self) -> list[str]:
        """The checks that were not made."""
        return [finding.check for finding in self.findings if finding.state is State.SKIPPED]

    def text(self, check: str) -> str:
        """What the only line about `check` says."""
        (found,) = (finding.text for finding in self.findings if finding.check == check)
        return found


def visit(environ: Mapping[str, str], *arguments: str) -> Visit:
    result = CliRunner().invoke(app, ["doctor", *arguments], env=dict(environ))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return Visit(result.exit_code, result.stdout, result.stderr)


@dataclass(frozen=True)
class Surgery:
    """A sandbox that goes up to yesterday, served, and the settings that point at it."""

    sandbox: Sandbox
    environ: dict[str, str]


@pytest.fixture
def surgery(tmp_path: Path) -> Iterator[Surgery]:
    sandbox = sandbox_with(end=utc_today(datetime.now(UTC)) - ONE_DAY, days=14, now=None)
    with serving(sandbox) as url:
        yield Surgery(sandbox, sandbox.settings_for(url) | named({"state_dir": str(tmp_path / "state")}))


def test_where_all_is_well_every_check_says_so_and_nothing_is_made(surgery: Surgery, tmp_path: Path) -> None:
    found = visit(surgery.environ)
    assert found.status == 0
    assert [finding.check for finding in found.findings] == CHECKS
    assert {finding.state for finding in found.findings} == {State.OK}
    assert found.complaint == ""
    assert list(tmp_path.iterdir()) == []


def test_the_api_is_asked_fewer_than_ten_times(surgery: Surgery) -> None:
    visit(surgery.environ)
    assert surgery.sandbox.counts.total < 10


def test_every_setting_is_told_with_its_value_and_its_source(surgery: Surgery) -> None:
    own = {"lookback_days": "7", "time_zones": "AT=Europe/Berlin", "limits": "AT:cost_unusual_max=2,volume_max=3"}
    lines = visit(surgery.environ | named(own)).output.splitlines()
    assert "EV_SESSIONS_LOOKBACK_DAYS = 7  (environment)" in lines
    assert "EV_SESSIONS_SESSION_DAY = plug_in_time  (default)" in lines
    assert "EV_SESSIONS_TIME_ZONES = AT=Europe/Berlin  (environment)" in lines
    assert "EV_SESSIONS_LIMITS = AT:cost_unusual_max=2,volume_max=3  (environment)" in lines


def test_no_secret_is_shown_only_whether_it_is_set_and_where(surgery: Surgery, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(surgery.environ.pop("EV_SESSIONS_CLIENT_SECRET"))
    found = visit(surgery.environ | {"EV_SESSIONS_CLIENT_SECRET_FILE": str(path)})
    assert found.status == 0
    assert f"EV_SESSIONS_CLIENT_SECRET = set  (file {path})" in found.output
    assert "EV_SESSIONS_CLIENT_ID = set  (environment)" in found.output
    assert "EV_SESSIONS_ACCESS_TOKEN = not set  (default)" in found.output
    assert surgery.sandbox.client_secret not in found.output
    assert surgery.sandbox.client_id not in found.output


def test_a_password_within_the_url_is_not_shown() -> None:
    found = visit(named({"api_url": "https://me:s3cret@app.example"}))
    assert "s3cret" not in found.output + found.complaint


def test_every_malformed_setting_is_named_and_what_does_not_need_it_is_still_checked(surgery: Surgery) -> None:
    found = visit(surgery.environ | named({"first_day": "soon", "lookback_days": "-1"}))
    assert found.status == 2
    wrong = [finding.text for finding in found.findings if finding.check == "settings"]
    assert [text.split()[0] for text in wrong] == ["EV_SESSIONS_FIRST_DAY", "EV_SESSIONS_LOOKBACK_DAYS"]
    assert found.skipped == ["token", "organisation", "fleet", "sessions", "clock"]
    assert found.text("database").startswith("none yet")
    assert found.complaint == (
        "ev-sessions: malformed: EV_SESSIONS_FIRST_DAY, EV_SESSIONS_LOOKBACK_DAYS; what is expected stands above\n"
    )


def test_a_limit_of_a_price_zone_that_is_not_known_is_told_with_the_one_that_was_meant(surgery: Surgery) -> None:
    found = visit(surgery.environ | named({"limits": "SE_4:cost_unusual_max=2,SE4:cost_unusual_max=2,XX:amount_max_eur=9"}))
    assert found.status == 1
    assert found.problems == {
        "limits": "no price zone that is known, nor that of a vehicle: SE4 (did you mean SE_4?), XX; correct EV_SESSIONS_LIMITS, "
        "or give a new zone its local time in EV_SESSIONS_TIME_ZONES"
    }


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ("", "all as built in"),
        ("stay_long_hours=40,SE_4:cost_unusual_max=2", "2 replaced, of price zones that exist"),
        ("NO_1:cost_unusual_max=2", "1 replaced, of price zones that exist"),
    ],
)
def test_limits_of_price_zones_that_are_built_in_or_that_a_setting_names_are_fine(
    surgery: Surgery, limits: str, told: str
) -> None:
    found = visit(surgery.environ | named({"limits": limits, "time_zones": "NO_1=Europe/Oslo"}))
    assert (found.status, found.text("limits")) == (0, told)


def test_a_price_zone_that_a_vehicle_has_may_have_limits_also_where_it_is_not_known_otherwise(
    surgery: Surgery, tmp_path: Path
) -> None:
    path = tmp_path / "state" / "ev_sessions.duckdb"
    make_database(path)
    with Database(path).writing() as connection:
        insert(connection, RAW_VEHICLES, vehicle("v1", price_zone="NO_2"), vehicle("v2", price_zone=None))
    assert "limits" not in visit(surgery.environ | named({"limits": "NO_2:cost_unusual_max=2"})).problems
    assert "NO_3;" in visit(surgery.environ | named({"limits": "NO_3:cost_unusual_max=2"})).problems["limits"]


def test_where_the_vehicles_cannot_be_looked_at_a_price_zone_that_is_not_known_is_not_judged(
    surgery: Surgery, tmp_path: Path
) -> None:
    path = tmp_path / "other.duckdb"
    path.write_text("no database at all, only a text of some length")
    found = visit(surgery.environ | named({"database": str(path), "limits": "NO_2:cost_unusual_max=2"}))
    assert "limits" in found.skipped


def test_a_secret_file_that_cannot_be_read_is_a_malformed_setting(tmp_path: Path) -> None:
    found = visit({"EV_SESSIONS_CLIENT_SECRET_FILE": str(tmp_path / "absent")})
    assert found.status == 2
    assert "No such file" in found.problems["settings"]


def test_a_misspelt_variable_is_told_with_the_name_that_was_meant(surgery: Surgery) -> None:
    found = visit(surgery.environ | {"EV_SESSIONS_LOOKBACK_DAY": "7"})
    assert found.status == 1
    assert found.problems == {"settings": "EV_SESSIONS_LOOKBACK_DAY is no setting; did you mean EV_SESSIONS_LOOKBACK_DAYS?"}


def test_without_any_setting_the_first_that_is_needed_is_named_and_nothing_is_asked() -> None:
    found = visit({})
    assert found.status == 1
    assert "EV_SESSIONS_API_URL is not set" in found.problems["token"]
    assert found.skipped == ["organisation", "fleet", "sessions", "clock"]
    assert found.complaint == "ev-sessions: there are problems with: token; what to do stands above\n"


def test_wrong_credentials_are_told_of_the_token_and_the_database_is_still_checked(surgery: Surgery) -> None:
    found = visit(surgery.environ | named({"client_secret": "wr0ng-secret"}))
    assert found.status == 1
    assert "refuses the client id and secret" in found.problems.pop("token")
    assert set(found.problems) == {"token"}
    assert found.skipped == ["organisation", "fleet", "sessions"]
    assert "wr0ng-secret" not in found.output + found.complaint
    assert surgery.sandbox.counts.total == 1


def test_a_static_token_that_the_api_does_not_accept_is_told_of_the_token(surgery: Surgery) -> None:
    found = visit(surgery.environ | named({"access_token": "stale"}))
    assert "does not accept the access token" in found.problems["token"]


def test_a_wrong_organisation_is_told_of_the_organisation_and_not_of_the_token(surgery: Surgery) -> None:
    found = visit(surgery.environ | named({"org_id": str(UUID(int=7))}))
    assert found.status == 1
    assert list(found.problems) == ["organisation"]
    assert "check that the credentials belong to the organisation" in found.problems["organisation"]
    assert found.skipped == ["fleet", "sessions"]


def test_a_host_that_cannot_be_reached_is_told_in_one_line_while_the_machine_is_still_checked(surgery: Surgery) -> None:
    found = visit(surgery.environ | named({"api_url": "http://127.0.0.1:9"}))
    assert found.status == 1
    assert "ConnectError" in found.problems["token"]
    assert found.text("storage")
    assert found.skipped == ["organisation", "fleet", "sessions", "clock"]


def test_a_fleet_file_stands_in_for_the_discovery(surgery: Surgery, tmp_path: Path) -> None:
    truth = surgery.sandbox.truth
    pairs = [(truth.owner(vehicle), vehicle) for vehicle in truth.vehicle_ids()]
    found = visit(surgery.environ | named({"fleet_file": str(write_fleet_file(tmp_path / "fleet.csv", pairs))}))
    assert found.status == 0
    assert found.text("fleet").endswith("fleet.csv names 4 vehicles")
    assert surgery.sandbox.counts.vehicles == 0


def test_a_fleet_file_with_bad_rows_is_a_problem_of_the_fleet(surgery: Surgery, tmp_path: Path) -> None:
    path = write_fleet_file(tmp_path / "fleet.csv", [("me", "my car")])
    found = visit(surgery.environ | named({"fleet_file": str(path)}))
    assert f"{path}: line 2: expected two UUIDs" in found.problems["fleet"]
    assert found.skipped == ["sessions"]


def test_a_session_day_that_does_not_fit_the_api_is_found_and_the_probe_is_named(surgery: Surgery) -> None:
    outside = f'{{"id": "{UUID(int=5)}", "plug_in_time": "2020-01-01T12:00:00Z"}}'.encode()
    surgery.sandbox.quirks = {vehicle: Quirks(extra=(outside,)) for vehicle in surgery.sandbox.truth.vehicle_ids()}
    told = visit(surgery.environ).problems["sessions"]
    assert told.startswith("1 of ")
    assert told.endswith("if the API filters on plug_in_time; run `ev-sessions doctor --probe`")


def test_records_that_do_not_fit_unknown_fields_and_new_outcomes_are_told_and_no_problem(surgery: Surgery) -> None:
    new = f'{{"id": "{UUID(int=5)}", "plug_in_time": "{surgery.sandbox.options.end}T00:00:00Z", '
    extra = (new.encode() + b'"session_outcome": "brand_new", "mood": "sunny"}', b'{"id": "?"}')
    surgery.sandbox.quirks = {vehicle: Quirks(extra=extra) for vehicle in surgery.sandbox.truth.vehicle_ids()}
    found = visit(surgery.environ)
    assert found.status == 0
    assert "1 records that do not fit; fields not known here: mood;" in found.text("sessions")
    assert "brand_new" in found.text("sessions")


def test_a_vehicle_that_is_gone_does_not_keep_the_doctor_from_the_next(surgery: Surgery) -> None:
    surgery.sandbox.quirks[surgery.sandbox.truth.vehicle_ids()[0]] = Quirks(status=410)
    assert visit(surgery.environ).status == 0


def test_lists_that_cannot_be_read_are_a_problem(surgery: Surgery) -> None:
    surgery.sandbox.fail_next(times=100, body=b"<html>", status=200)
    assert "the sessions of a vehicle" in visit(surgery.environ).problems["sessions"]


def test_the_database_of_a_run_is_told_with_its_schema_rows_and_last_landing(pipeline: Pipeline) -> None:
    pipeline.refresh(trailing(2))
    told = visit(pipeline.environ).text("database")
    ((rows,),) = pipeline.rows("SELECT count(*) FROM raw.sessions")
    ((landed_at,),) = pipeline.rows("SELECT max(landed_at) FROM raw.fetches")
    assert f"schema {SCHEMA_VERSION}, last landing {landed_at:%Y-%m-%d %H:%M:%S} UTC" in told
    assert f"raw.sessions {rows}" in told


def test_a_database_without_a_landing_says_so(surgery: Surgery, tmp_path: Path) -> None:
    make_database(tmp_path / "state" / "ev_sessions.duckdb")
    assert "nothing landed yet" in visit(surgery.environ).text("database")


def test_a_file_that_is_no_database_is_a_problem(surgery: Surgery, tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    path.write_text("no database at all, only a text of some length")
    assert "is not a DuckDB file" in visit(surgery.environ | named({"database": str(path)})).problems["database"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("INSERT INTO raw.schema_info VALUES (99, 'later', now())", "has schema 99"),
        ("DROP TABLE raw.schema_info", "holds tables that are not ours"),
    ],
)
def test_a_database_that_is_too_new_or_not_ours_is_a_problem(surgery: Surgery, tmp_path: Path, change: str, problem: str) -> None:
    make_database(tmp_path / "state" / "ev_sessions.duckdb", change)
    assert problem in visit(surgery.environ).problems["database"]


def test_the_history_is_told_with_its_runs_and_one_that_cannot_be_opened_is_a_problem(surgery: Surgery, tmp_path: Path) -> None:
    assert visit(surgery.environ).text("history").endswith("none yet; the first run makes it")
    home = prepare_history(tmp_path / "state" / "dagster")
    assert visit(surgery.environ).text("history") == f"{home}: 0 runs"
    stamp_once_more(home / "history" / "runs.db")
    assert "cannot use Dagster's history" in visit(surgery.environ).problems["history"]


def test_a_history_that_cannot_be_locked_is_a_problem(surgery: Surgery, tmp_path: Path) -> None:
    lock = prepare_history(tmp_path / "state" / "dagster") / ".lock"
    lock.unlink()
    lock.mkdir()
    assert "cannot use the state folder" in visit(surgery.environ).problems["history"]


def test_a_database_of_an_older_schema_is_no_problem(surgery: Surgery, tmp_path: Path) -> None:
    make_database(tmp_path / "state" / "ev_sessions.duckdb", "UPDATE raw.schema_info SET version = 0")
    found = visit(surgery.environ)
    assert found.status == 0
    assert "the next run migrates it" in found.text("database")


def test_a_database_that_another_process_holds_is_told_with_the_holder(surgery: Surgery, tmp_path: Path) -> None:
    path = tmp_path / "state" / "ev_sessions.duckdb"
    make_database(path)
    program = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        found = visit(surgery.environ | named({"lock_timeout_seconds": "0"}))
        assert f"by process {holder.pid}" in found.problems["database"]
        holder.communicate()


def test_a_state_folder_that_is_a_file_is_a_problem(surgery: Surgery, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    assert "is not a folder" in visit(surgery.environ).problems["storage"]


@pytest.mark.parametrize(
    ("mode", "problem"), [("rw", "only 0.0 GB are free, EV_SESSIONS_MIN_FREE_GB wants 5; make room"), ("ro", "cannot be written")]
)
def test_a_disk_that_is_nearly_full_or_cannot_be_written_is_a_problem(
    surgery: Surgery, tmp_path: Path, mode: str, problem: str
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size=1m,{mode}", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system can only be mounted as root")
    try:
        found = visit(surgery.environ | named({"state_dir": str(folder / "state")}))
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S607 - our own words
    assert problem in found.problems["storage"]


def test_what_runs_by_itself_and_who_is_told_is_said_without_the_addresses(surgery: Surgery) -> None:
    assert visit(surgery.environ).text("unattended") == (
        "schedules wait to be turned on, nobody is told of failed runs, there is no heartbeat"
    )
    secrets = {"alert_url": "https://hooks.example/a-secret", "heartbeat_url": "https://me:a-secret@ping.example/"}
    found = visit(surgery.environ | named({"schedules": "on", **secrets}))
    assert found.text("unattended") == (
        "schedules run from the start, failed runs are told to hooks.example, a heartbeat goes to ping.example"
    )
    assert "a-secret" not in found.output + found.complaint


@pytest.mark.parametrize(
    "url", ["hooks.example/a-secret", "ftp://hooks.example/a-secret", "https://:99a-secret/", "https://[a-secret"]
)
def test_an_address_that_is_none_is_a_malformed_setting_and_is_not_shown(url: str) -> None:
    found = visit(named({"alert_url": url}))
    assert found.status == 2
    assert found.problems["settings"].startswith("EV_SESSIONS_ALERT_URL is malformed: ")
    assert "https://host/path" in found.problems["settings"]
    assert "a-secret" not in found.output + found.complaint


def test_published_files_on_another_disk_are_looked_at_too(surgery: Surgery, tmp_path: Path) -> None:
    found = visit(surgery.environ | named({"published": str(tmp_path / "elsewhere")}))
    stored = [finding.text for finding in found.findings if finding.check == "storage"]
    assert [text.split()[0] for text in stored] == [str(tmp_path / "state"), str(tmp_path / "elsewhere")]


async def examined(date: str | None) -> dict[str, Finding]:
    """What the doctor finds of an API without users whose answers carry this `Date`."""
    answer = response(b"[]") if date is None else response(b"[]", Date=date)
    async with answering(in_turn(answer)) as (_, url):
        config = PartnerApiConfig(url, ORG, BearerToken("token"))
        found = await examine_api(config, Asked(None, DayRange(LAST_DAY, LAST_DAY), SessionDay.PLUG_IN_TIME))
    return {finding.check: finding for finding in found}


@pytest.mark.parametrize(("minutes", "told"), [(-30, "s ahead of the API's"), (30, "s behind the API's")])
async def test_a_clock_that_differs_from_the_apis_is_a_problem(minutes: int, told: str) -> None:
    clock = (await examined(format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)))["clock"]
    assert clock.state is State.PROBLEM
    assert told in clock.text


async def test_a_clock_that_is_a_few_seconds_off_is_fine() -> None:
    clock = (await examined(format_datetime(datetime.now(UTC) - timedelta(seconds=20), usegmt=True)))["clock"]
    assert clock.state is State.OK


@pytest.mark.parametrize("date", [None, "yesterday"])
async def test_where_the_api_does_not_tell_its_time_the_clock_is_not_judged(date: str | None) -> None:
    assert (await examined(date))["clock"].state is State.SKIPPED


async def test_an_organisation_without_users_is_a_problem() -> None:
    assert "lists no user" in (await examined(None))["organisation"].text


def test_the_probe_prints_the_setting_and_everything_else_as_comments(surgery: Surgery) -> None:
    sandbox = sandbox_with(end=surgery.sandbox.options.end, vehicles=10, days=30, now=None, session_day=SessionDay.UNPLUG_TIME)
    with serving(sandbox) as url:
        found = visit(sandbox.settings_for(url), "--probe")
    assert found.status == 0
    *comments, export = found.output.splitlines()
    assert export == "export EV_SESSIONS_SESSION_DAY=unplug_time"
    assert comments
    assert all(line.startswith("# ") for line in comments)


def test_a_probe_that_cannot_tell_says_why_and_prints_no_setting(surgery: Surgery) -> None:
    surgery.sandbox.now = datetime(2020, 1, 1, tzinfo=UTC)
    found = visit(surgery.environ, "--probe")
    assert found.status == 1
    assert "export" not in found.output
    assert found.complaint.startswith("ev-sessions: undecided what the API's from and to filter on: 5 sessions")


def test_a_probe_takes_its_vehicles_from_the_fleet_file(surgery: Surgery, tmp_path: Path) -> None:
    truth = surgery.sandbox.truth
    path = write_fleet_file(tmp_path / "fleet.csv", [(truth.owner(vehicle), vehicle) for vehicle in truth.vehicle_ids()])
    found = visit(surgery.environ | named({"fleet_file": str(path)}), "--probe")
    assert found.output.startswith("# asked 4 vehicles")
    assert surgery.sandbox.counts.users == 0


def make_database(path: Path, *changes: str) -> None:
    """A database of ours at `path`, then changed as no part of the project would."""
    path.parent.mkdir(exist_ok=True)
    with Database(path).writing() as connection:
        for change in changes:
            connection.execute(change)
