"""Bad input: whatever is wrong, a command ends with one line that says what, where and what to do, and nothing is lost."""

import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import duckdb
import pytest
from typer.testing import CliRunner

from ev_sessions.cli.home import prepare_history
from ev_sessions.cli.main import app
from ev_sessions.ingest.fleet import BadFleetFile, read_vehicle_pairs
from ev_sessions.warehouse.connection import Database
from ev_sessions_tests.broken import stamp_once_more
from ev_sessions_tests.pipeline import Pipeline, named, pipeline_over, sandbox_with, trailing, write_fleet_file

FAILED, WRONG_USE = 1, 2
DAYS = trailing(2)
RUN = ("run", "--from", DAYS.first.isoformat(), "--to", DAYS.last.isoformat())


Row = tuple[object, ...]


def rows(pipeline: Pipeline) -> list[list[Row]]:
    """All that was ever read, and all that was derived from it."""
    tables = ("raw.sessions", "raw.fetches", "raw.session_versions", "raw.quarantine", "analytics.sessions")
    return [pipeline.rows(f"SELECT * FROM {table} ORDER BY ALL") for table in tables]


@dataclass(frozen=True)
class Office:
    """A pipeline, and what it has `landed`, which no command here may change."""

    pipeline: Pipeline
    landed: list[list[Row]]

    @property
    def database(self) -> Path:
        """Its database."""
        return self.pipeline.state / "ev_sessions.duckdb"

    def complaint(self, status: int, *arguments: object, **settings: object) -> str:
        """The one line with which the command ends, after it has ended with `status` and changed nothing."""
        line = self.complaint_unseen(status, *arguments, **settings)
        assert rows(self.pipeline) == self.landed
        return line

    def complaint_unseen(self, status: int, *arguments: object, **settings: object) -> str:
        """As `complaint`, without a look into the database: for when it cannot be opened."""
        quick = {"max_attempts": "1", "lock_timeout_seconds": "0"}
        given = named({**quick, **{name: str(value) for name, value in settings.items()}})
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={**self.pipeline.environ, **given})
        assert isinstance(result.exception, SystemExit)
        assert result.exit_code == status
        return only_line(result.stderr)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with pipeline_over(sandbox_with(), tmp_path_factory.mktemp("office")) as pipeline:
        assert pipeline.refresh(DAYS).success
        yield Office(pipeline, rows(pipeline))


@pytest.mark.parametrize("name", ["api_url", "org_id", "client_id", "client_secret"])
def test_a_setting_that_is_missing_is_named(office: Office, name: str) -> None:
    assert f"EV_SESSIONS_{name.upper()} is not set" in office.complaint(WRONG_USE, *RUN, **{name: ""})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("first_day", "soon", "The first UTC day that is a partition (YYYY-MM-DD)"),
        ("max_requests_per_second", "nan", "requests/s"),
        ("api_url", "app.podero.com", "expected: the root of a host"),
        ("api_url", "http://app.podero.com", "would show the credentials to the network; use https"),
        ("api_url", "https://app.podero.com/api/partners/v2.0", "expected: the root of a host"),
        ("access_token", "two words", "in printable ASCII without spaces"),
        ("request_timeout_seconds", "inf", "more than 0 seconds"),
        ("client_secret_file", "/nowhere/secret", "No such file or directory"),
    ],
)
def test_a_setting_that_is_wrong_is_named_with_what_is_expected(office: Office, name: str, value: str, expected: str) -> None:
    others = {"client_secret": ""} if name == "client_secret_file" else {}
    line = office.complaint(WRONG_USE, *RUN, **{name: value}, **others)
    assert line.startswith(f"ev-sessions: EV_SESSIONS_{name.upper()}")
    assert expected in line


@pytest.mark.parametrize(
    "command", [("doctor",), ("doctor", "--probe"), ("ui",), ("backup", "x.duckdb"), ("restore", "x.duckdb")]
)
def test_every_command_that_reads_settings_names_one_that_is_malformed(office: Office, command: Sequence[str]) -> None:
    assert "EV_SESSIONS_LOOKBACK_DAYS" in office.complaint(WRONG_USE, *command, lookback_days="many")


@pytest.mark.parametrize("command", [RUN, ("doctor", "--probe")])
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"api_url": "http://127.0.0.1:9"}, "Cannot connect to host 127.0.0.1:9"),
        ({"client_secret": "guessed"}, "refuses the client id and secret (status 401); check both"),
        ({"access_token": "guessed"}, "does not accept the access token"),
        ({"org_id": str(UUID(int=9))}, "check that the credentials belong to the organisation"),
    ],
)
def test_an_api_that_cannot_be_used_is_told_with_what_to_check(
    office: Office, command: Sequence[str], settings: Mapping[str, str], told: str
) -> None:
    line = office.complaint(FAILED, *command, **settings)
    assert told in line
    assert "guessed" not in line


def test_a_host_that_is_not_the_api_is_told_as_that(office: Office) -> None:
    elsewhere = office.pipeline.environ["EV_SESSIONS_API_URL"] + "/elsewhere"
    assert "the access token: the API answers 404" in (line := office.complaint(FAILED, *RUN, api_url=elsewhere))
    assert line.endswith("check the base url")


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        ("30.03.2026", DAYS.last, "write it as YYYY-MM-DD"),
        ("2026-02-30", DAYS.last, "'2026-02-30' is not a day"),
        (DAYS.last, DAYS.first, "ends before it begins; swap the two days"),
        ("2020-01-01", DAYS.last, "2020-01-01 lies before the first day"),
        (DAYS.first, "9999-12-31", "is not over yet (UTC); ask for days up to"),
    ],
)
def test_days_that_cannot_be_asked_for_are_told(office: Office, first: object, last: object, told: str) -> None:
    assert told in office.complaint(WRONG_USE, "run", "--from", first, "--to", last)


def test_a_fleet_file_with_bad_rows_is_told_with_their_lines(office: Office, tmp_path: Path) -> None:
    path = write_fleet_file(tmp_path / "fleet.csv", [("me", "my car"), (UUID(int=1), UUID(int=2)), ("", UUID(int=3))])
    assert office.complaint(FAILED, *RUN, fleet_file=path).startswith(f"ev-sessions: {path}: lines 2, 4: expected two UUIDs")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the first line lacks the column user_id"),
        ("user_id\nme\n", "the first line lacks the column electric_vehicle_id"),
        ("user_id,electric_vehicle_id\n", "it names no vehicle"),
        ("user_id,electric_vehicle_id\n" + "".join(f"{UUID(int=n)},{UUID(int=9)}\n" for n in (1, 2)), "under two users"),
        ("user_id,electric_vehicle_id\n\xff\xfe", "not a CSV file in UTF-8"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_fleet_file_that_cannot_be_used_is_told(tmp_path: Path, text: str | None, told: str) -> None:
    path = tmp_path / "fleet.csv"
    if text is not None:
        path.write_text(text, encoding="latin-1")
    with pytest.raises(BadFleetFile, match=told):
        read_vehicle_pairs(path)


def test_so_is_a_file_of_the_vehicles_to_ask_for(office: Office, tmp_path: Path) -> None:
    path = write_fleet_file(tmp_path / "some.csv", [("me", "my car"), (UUID(int=1), UUID(int=2))])
    assert f"{path}: line 2: expected two UUIDs" in office.complaint(FAILED, *RUN, "--vehicles-from", path)


def test_vehicles_that_the_fleet_does_not_have_are_not_passed_over_silently(office: Office, tmp_path: Path) -> None:
    path = write_fleet_file(tmp_path / "some.csv", [(UUID(int=1), UUID(int=2))])
    assert "1 of its 1 vehicles are not in the fleet" in office.complaint(FAILED, *RUN, "--vehicles-from", path)


@pytest.mark.parametrize("command", [RUN, ("ui",)])
def test_a_state_folder_that_is_a_file_is_told(office: Office, tmp_path: Path, command: Sequence[str]) -> None:
    (tmp_path / "state").write_text("")
    assert "cannot use the state folder" in (line := office.complaint(FAILED, *command, state_dir=tmp_path / "state"))
    assert line.endswith("set EV_SESSIONS_STATE_DIR")


def no_database(path: Path) -> None:
    path.write_text("only a text, though one of some length")


def somebody_elses(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE accounts AS SELECT 1 AS balance")


def of_a_newer_schema(path: Path) -> None:
    with Database(path).writing() as connection:
        connection.execute("INSERT INTO raw.schema_info VALUES (99, 'a later version', now())")


def of_a_newer_duckdb(path: Path) -> None:
    """A file whose header names a storage version that is not known yet, with the checksum that belongs to it."""
    somebody_elses(path)
    whole = bytearray(path.read_bytes())
    struct.pack_into("<Q", whole, 12, 999)
    checksum = 5381
    for (word,) in struct.iter_unpack("<Q", whole[8:4096]):
        checksum ^= (word * 0xBF58476D1CE4E5B9) % 2**64
    struct.pack_into("<Q", whole, 0, checksum)
    path.write_bytes(whole)


def cut_short(path: Path) -> None:
    of_a_newer_schema(path)
    path.write_bytes(path.read_bytes()[:10_000])


UNUSABLE = [
    (no_database, "is not a DuckDB file"),
    (somebody_elses, "holds tables that are not ours"),
    (of_a_newer_schema, "has schema 99, this program knows 3; upgrade ev-sessions"),
    (of_a_newer_duckdb, "was written by a newer DuckDB; upgrade the `duckdb` package"),
    (cut_short, "is damaged"),
]


@pytest.mark.parametrize(("make", "told"), UNUSABLE)
def test_a_database_that_cannot_be_used_is_told_and_not_backed_up(
    office: Office, tmp_path: Path, make: Callable[[Path], None], told: str
) -> None:
    make(path := tmp_path / "other.duckdb")
    target = tmp_path / "copy.duckdb"
    assert office.complaint(FAILED, "backup", target, database=path).startswith(f"ev-sessions: the database {path} {told}")
    assert not target.exists()


@pytest.mark.parametrize("make", [somebody_elses, of_a_newer_duckdb, of_a_newer_schema])
def test_a_run_leaves_a_database_that_it_cannot_use_as_it_is(
    office: Office, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(path := tmp_path / "other.duckdb")
    before = path.read_bytes()
    assert office.complaint(FAILED, *RUN, database=path).startswith(f"ev-sessions: the database {path} ")
    assert path.read_bytes() == before


@pytest.mark.parametrize(("make", "told"), UNUSABLE)
def test_a_backup_that_cannot_be_used_leaves_the_database_in_its_place(
    office: Office, tmp_path: Path, make: Callable[[Path], None], told: str
) -> None:
    make(path := tmp_path / "other.duckdb")
    before = office.database.read_bytes()
    assert told in office.complaint(FAILED, "restore", path)
    assert office.database.read_bytes() == before


def test_a_backup_that_is_not_there_is_told(office: Office, tmp_path: Path) -> None:
    assert "there is no backup" in office.complaint(FAILED, "restore", tmp_path / "none.duckdb")


def test_a_database_that_is_not_there_yet_cannot_be_backed_up(office: Office, tmp_path: Path) -> None:
    target = tmp_path / "copy.duckdb"
    assert "run `ev-sessions run" in office.complaint(FAILED, "backup", target, database=tmp_path / "none.duckdb")
    assert not target.exists()


def test_a_backup_into_a_folder_that_is_not_there_is_told_and_makes_none(office: Office, tmp_path: Path) -> None:
    assert "there is no folder" in office.complaint(FAILED, "backup", tmp_path / "unmounted" / "copy.duckdb")
    assert not (tmp_path / "unmounted").exists()


@pytest.mark.parametrize("text", ["foo: [", "no_such_key: 1", "just words"])
def test_instance_settings_that_somebody_broke_are_told(office: Office, tmp_path: Path, text: str) -> None:
    home = tmp_path / "state" / "dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text(text)
    line = office.complaint(FAILED, *RUN, state_dir=tmp_path / "state", database=office.database)
    assert "cannot use" in line
    assert "dagster.yaml" in line


def test_a_history_that_somebody_broke_is_told(office: Office, tmp_path: Path) -> None:
    runs = tmp_path / "state" / "dagster" / "history" / "runs.db"
    runs.parent.mkdir(parents=True)
    runs.write_text("no database")
    line = office.complaint(FAILED, *RUN, state_dir=tmp_path / "state", database=office.database)
    assert "move that folder away" in line


@pytest.mark.parametrize("storage", ["history/runs.db", "history/runs/index.db", "schedules/schedules.db"])
@pytest.mark.parametrize("command", [RUN, ("backfill", *RUN[1:], "--dry-run"), ("ui", "--port", "0")])
def test_a_history_with_two_versions_is_told(office: Office, tmp_path: Path, command: Sequence[str], storage: str) -> None:
    home = prepare_history(tmp_path / "state" / "dagster")
    stamp_once_more(home / storage)
    line = office.complaint(FAILED, *command, state_dir=tmp_path / "state", database=office.database)
    assert f"cannot use Dagster's history in {home}" in line
    assert "move that folder away" in line


def test_a_backup_never_overwrites(office: Office, tmp_path: Path) -> None:
    (target := tmp_path / "copy.duckdb").write_text("precious")
    assert "exists already; name a file that does not" in office.complaint(FAILED, "backup", target)
    assert target.read_text() == "precious"


@pytest.mark.parametrize(("command", "setting"), [(RUN, "database"), (("restore",), "database"), (("backup",), None)])
def test_a_path_through_a_file_is_told(office: Office, tmp_path: Path, command: Sequence[str], setting: str | None) -> None:
    (tmp_path / "file").write_text("")
    through = tmp_path / "file" / "x.duckdb"
    arguments = {"restore": [office.database], "backup": [through]}.get(command[0], [])
    settings = {setting: through} if setting else {}
    line = office.complaint(FAILED, *command, *arguments, **settings)
    assert f"{through} cannot be made: a part of its path is a file" in line


def test_a_database_with_the_name_of_a_schema_is_told(office: Office, tmp_path: Path) -> None:
    assert "raw is the name of a schema" in office.complaint(FAILED, *RUN, database=tmp_path / "raw.duckdb")


@pytest.mark.parametrize("command", [RUN, ("backup",), ("restore",)])
def test_a_database_that_another_process_holds_is_told_with_the_holder(
    office: Office, tmp_path: Path, command: Sequence[str]
) -> None:
    copy = tmp_path / "good.duckdb"
    arguments = {"backup": [tmp_path / "copy.duckdb"], "restore": [copy]}.get(command[0], [])
    if command == ("restore",):
        assert CliRunner().invoke(app, ["backup", str(copy)], env=office.pipeline.environ).exit_code == 0
    with held(office.database) as holder:
        assert f"is in use by process {holder}" in office.complaint_unseen(FAILED, *command, *arguments)
    assert rows(office.pipeline) == office.landed
    assert not (tmp_path / "copy.duckdb").exists()


def test_a_disk_without_room_for_the_database_is_told(office: Office, small_disk: Path) -> None:
    line = office.complaint(FAILED, *RUN, database=small_disk / "x.duckdb")
    assert f"the database {small_disk / 'x.duckdb'} could not be written: the disk is full" in line


def test_a_disk_without_room_for_a_backup_is_told_and_no_half_of_one_is_left(office: Office, small_disk: Path) -> None:
    line = office.complaint(FAILED, "backup", small_disk / "copy.duckdb")
    assert f"{small_disk / 'copy.duckdb'} could not be written: the disk is full" in line
    assert list(small_disk.iterdir()) == []


def test_a_disk_without_room_for_what_is_restored_is_told_and_nothing_is_left(
    office: Office, tmp_path: Path, small_disk: Path
) -> None:
    assert CliRunner().invoke(app, ["backup", str(tmp_path / "copy")], env=office.pipeline.environ).exit_code == 0
    line = office.complaint(FAILED, "restore", tmp_path / "copy", database=small_disk / "x.duckdb")
    assert f"{small_disk / 'x.duckdb'} could not be written: the disk is full" in line
    assert list(small_disk.iterdir()) == []


def test_a_disk_without_room_for_the_history_is_told(office: Office, small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(700_000))
    assert "EV_SESSIONS_STATE_DIR" in office.complaint(FAILED, *RUN, state_dir=small_disk / "state", database=office.database)


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (("--port", "99999"), FAILED, "cannot listen on port 99999"),
        (("--vehicles", "0"), FAILED, "option vehicles is 0; it has to be 1 or more"),
        (("--fail-rate", "2"), FAILED, "a share between 0 and 1"),
        (("--end", "yesterday"), WRONG_USE, "write it as YYYY-MM-DD"),
        (("--now", "noon"), WRONG_USE, "write it as 2026-04-01T03:15:00Z"),
        (("--replay", "/nowhere.csv"), FAILED, "cannot read the recorded sessions in /nowhere.csv"),
    ],
)
def test_a_sandbox_that_cannot_be_says_why(office: Office, options: Sequence[str], status: int, told: str) -> None:
    assert told in office.complaint(status, "sandbox", *options)


def test_a_port_that_is_taken_is_told(office: Office) -> None:
    port = office.pipeline.environ["EV_SESSIONS_API_URL"].rpartition(":")[2]
    assert f"cannot listen on port {port}" in office.complaint(FAILED, "sandbox", "--port", port)


def test_a_page_that_cannot_be_served_says_why(office: Office) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        assert f"cannot serve the UI on port {port}" in office.complaint(FAILED, "ui", "--port", port)
    assert "cannot serve the UI on port 99999" in office.complaint(FAILED, "ui", "--port", "99999")


def test_a_process_of_its_own_ends_with_the_same_one_line(office: Office) -> None:
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("ev-sessions")), *RUN],
        env={**office.pipeline.environ, "EV_SESSIONS_CLIENT_SECRET": "guessed", "PATH": ""},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == FAILED
    assert "refuses the client id and secret" in only_line(ended.stderr)
    assert "guessed" not in ended.stdout + ended.stderr
    assert rows(office.pipeline) == office.landed


def only_line(text: str) -> str:
    """The one line of standard error, which is ours."""
    (line,) = text.splitlines()
    assert line.startswith("ev-sessions: ")
    return line


@contextmanager
def held(path: Path) -> Iterator[int]:
    """Another process has the database open for writing; its id."""
    program = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield holder.pid
        holder.communicate()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system can only be mounted as root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)  # noqa: S607 - our own words
