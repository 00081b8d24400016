"""What readers get: the same rows as the database has, in files that are whole whenever somebody looks, and in nobody's way."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from stat import S_IMODE
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ev_sessions
from ev_sessions.days import ONE_DAY
from ev_sessions.settings import PublishedAccess
from ev_sessions.tables import (
    ANALYTICS_SESSIONS,
    FLEET_DAILY,
    MONTHLY_SAVINGS,
    PUBLISHED_TABLES,
    RAW_FETCHES,
    RAW_QUARANTINE,
    RAW_QUARANTINE_PAST,
    RAW_RECONCILIATIONS,
    RAW_SESSION_VERSIONS,
    RAW_SESSIONS,
    RAW_USERS,
    RAW_VEHICLES,
    Table,
)
from ev_sessions.views import ALL_VIEWS
from ev_sessions.warehouse import publish as publishing
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.failures import DatabaseMissing
from ev_sessions.warehouse.monthly import sum_months
from ev_sessions.warehouse.publish import Publication, PublishingFailed, publish, views_path
from ev_sessions.warehouse.published_files import NotPublishedByUs
from ev_sessions_tests.pipeline import Pipeline, told_of_run, trailing
from ev_sessions_tests.raw_rows import NOW, Row, derive_days, insert, kept_out, read, session, uid, vehicle

MARCH, APRIL = date(2026, 3, 10), date(2026, 4, 1)


class Warehouse:
    """A database and the folder into which it is published."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder / "sessions.duckdb", lock_timeout_seconds=0)
        self.folder = folder / "published"
        self.derivations = 0

    @classmethod
    def copied(cls, original: Warehouse, folder: Path) -> Warehouse:
        """The same rows in `folder`, nothing of them published."""
        copy = cls(folder)
        copy.derivations = original.derivations
        shutil.copy(original.database.path, copy.database.path)
        return copy

    def derive(self, day: date) -> None:
        """Derive `day` again, at a later instant."""
        self.derivations += 1
        with self.database.writing() as connection:
            derive_days(connection, day, derived_at=NOW + timedelta(seconds=self.derivations))

    def sum_up(self, month: date) -> None:
        with self.database.writing() as connection:
            sum_months(connection, [month], run_id="months", derived_at=NOW)

    def land(self, name: str, day: date) -> None:
        """One more session on `day`, and the day derived again."""
        with self.database.writing() as connection:
            insert(connection, RAW_SESSIONS, session(name, day=day))
        self.derive(day)

    def publish(self, access: PublishedAccess = PublishedAccess.OWNER) -> Publication:
        return publish(self.database, self.folder, access)

    @property
    def views(self) -> Database:
        return Database(views_path(self.folder), lock_timeout_seconds=0)

    def published(self, table: Table) -> list[str]:
        """The published rows of `table`, as text, in no particular order."""
        return rows_in(self.views, table)

    def differing(self) -> list[str]:
        """The tables whose published rows are not those of the database."""
        held, shown = all_rows_in(self.database), all_rows_in(self.views)
        return [table for table, rows in held.items() if shown[table] != rows]

    def files(self) -> dict[str, int]:
        """The files that people know, and their inodes: a file that is written anew gets another."""
        known = [path for path in self.folder.rglob("*.*") if path.parent.name != ".generations" and path.is_file()]
        return {str(path.relative_to(self.folder)): path.stat().st_ino for path in known}


def user(name: str) -> Row:
    return {"org_id": uid("org"), "user_id": uid(name), "first_seen_at": NOW, "last_seen_at": NOW, "run_id": "fleet"}


def former(name: str) -> Row:
    return session(name) | {"replaced_at": NOW, "replaced_by_run_id": "landing", "end_reason": "restated"}


def reconciled() -> Row:
    return {"org_id": uid("org"), "report_month": date(2026, 3, 1), "asked_at": NOW, "outcome": "failed", "run_id": "asking"}


def mended(key: str) -> Row:
    entry = kept_out(key) | {"left_at": NOW, "left_by_run_id": "landing"}
    del entry["in_sessions"]
    return entry


def rows_in(database: Database, table: Table) -> list[str]:
    return all_rows_in(database, table)[table.full_name]


def all_rows_in(database: Database, *tables: Table) -> dict[str, list[str]]:
    """The rows of `tables`, or of all that are published, as text, in no particular order."""
    with database.reading() as connection:
        return {
            table.full_name: sorted(str(row) for row in connection.sql(f"FROM {table.full_name}").fetchall())
            for table in tables or PUBLISHED_TABLES
        }


def shape_in(database: Database, table: Table) -> list[tuple[str, str]]:
    with database.reading() as connection:
        rows = connection.sql(f"FROM {table.full_name}")
        return [(name, str(kind)) for name, kind in zip(rows.columns, rows.types, strict=True)]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Two days of two months, and a row in every table."""
    warehouse = Warehouse(tmp_path_factory.mktemp("original"))
    with warehouse.database.writing() as connection:
        insert(connection, RAW_USERS, user("v1"))
        insert(connection, RAW_VEHICLES, vehicle("v1"), vehicle("never read"))
        insert(connection, RAW_FETCHES, read("v1", date(2026, 3, 1), APRIL))
        insert(connection, RAW_QUARANTINE, kept_out("unreadable"))
        insert(connection, RAW_QUARANTINE_PAST, mended("unreadable once"))
        insert(connection, RAW_SESSIONS, session("march", extra='{"new": 1}'), session("april", day=APRIL))
        insert(connection, RAW_SESSION_VERSIONS, former("march"))
        insert(connection, RAW_RECONCILIATIONS, reconciled())
    warehouse.derive(MARCH)
    warehouse.derive(APRIL)
    return warehouse


@pytest.fixture
def warehouse(original: Warehouse, tmp_path: Path) -> Warehouse:
    return Warehouse.copied(original, tmp_path)


@pytest.fixture
def published(warehouse: Warehouse) -> Warehouse:
    warehouse.publish()
    return warehouse


def test_every_table_is_published_with_its_columns_types_and_rows(warehouse: Warehouse) -> None:
    warehouse.sum_up(date(2026, 3, 1))
    warehouse.publish()
    assert warehouse.differing() == []
    for table in PUBLISHED_TABLES:
        assert warehouse.published(table), f"{table.full_name} has no rows to compare"
        assert shape_in(warehouse.views, table) == shape_in(warehouse.database, table)


def test_views_show_readers_what_they_show_in_the_database(published: Warehouse) -> None:
    assert all_rows_in(published.views, *ALL_VIEWS) == all_rows_in(published.database, *ALL_VIEWS)
    assert all(shape_in(published.views, view) == shape_in(published.database, view) for view in ALL_VIEWS)


def test_the_views_can_be_read_under_any_name_of_the_file(published: Warehouse, tmp_path: Path) -> None:
    file = shutil.copy(views_path(published.folder), tmp_path / "renamed.duckdb")
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{file}' AS elsewhere (READ_ONLY)")
        count = connection.execute("SELECT sum(sessions) FROM elsewhere.analytics.measures_by_month_user").fetchall()
    assert count == [(2,)]


def test_the_notes_of_the_writer_to_itself_are_not_published(published: Warehouse) -> None:
    with published.views.reading() as connection:
        tables = {row[0] for row in connection.sql("SELECT table_name FROM information_schema.tables").fetchall()}
    assert tables == {table.name for table in (*PUBLISHED_TABLES, *ALL_VIEWS)} | {"schema_info"}


def test_a_table_without_rows_can_be_asked(tmp_path: Path) -> None:
    empty = Warehouse(tmp_path)
    with empty.database.writing():
        pass
    empty.publish()
    for table in PUBLISHED_TABLES:
        assert (empty.published(table), shape_in(empty.views, table)) == ([], shape_in(empty.database, table))


def test_a_second_publishing_writes_nothing(published: Warehouse) -> None:
    before = published.files()
    assert published.publish() == Publication(files=0, bytes=0, months=0)
    assert published.files() == before


def test_only_months_with_a_day_that_was_derived_are_written_again(published: Warehouse) -> None:
    before = published.files()
    published.land("more", APRIL)
    written = published.publish()
    changed = {name for name, inode in published.files().items() if before[name] != inode}
    assert {name for name in before if name.endswith("2026-04.parquet")} < changed
    assert not any(name.endswith("2026-03.parquet") for name in changed)
    assert (written.months, published.differing()) == (1, [])
    assert written.bytes > 0


@pytest.mark.parametrize(
    ("table", "row"),
    [(RAW_QUARANTINE_PAST, mended("another")), (RAW_RECONCILIATIONS, reconciled() | {"asked_at": NOW + ONE_DAY})],
)
def test_what_is_noted_without_a_day_to_derive_is_published_too(published: Warehouse, table: Table, row: Row) -> None:
    with published.database.writing() as connection:
        insert(connection, table, row)
    published.publish()
    assert published.differing() == []


def test_what_was_derived_twice_in_one_instant_is_told_apart_by_its_runs(published: Warehouse) -> None:
    with published.database.writing() as connection:
        connection.execute("UPDATE analytics.sessions SET version = 2")
        connection.execute("UPDATE analytics.fleet_daily SET derived_by_run_id = 'another'")
    published.publish()
    assert published.differing() == []


def test_a_month_that_is_summed_up_again_alone_is_written_alone(published: Warehouse) -> None:
    before = published.files()
    published.sum_up(date(2026, 3, 1))
    assert published.publish().files == 1
    new = {name for name, inode in published.files().items() if before.get(name) != inode}
    assert new == {"analytics/monthly_savings/2026-03.parquet", "ev_sessions.duckdb"}
    assert published.published(MONTHLY_SAVINGS) == rows_in(published.database, MONTHLY_SAVINGS) != []


@pytest.mark.parametrize(
    "gone",
    [
        "analytics/sessions/2026-03.parquet",
        "raw/users.parquet",
        "ev_sessions.duckdb",
        ".generations/*sessions*",
        ".generations",
        "analytics",
    ],
)
def test_what_somebody_deleted_is_there_again_after_the_next_publishing(published: Warehouse, gone: str) -> None:
    before = published.files()
    for path in published.folder.glob(gone):
        subprocess.run(["rm", "-r", path], check=True)  # noqa: S607
    published.publish()
    assert published.files().keys() == before.keys()
    assert published.differing() == []


@dataclass(frozen=True)
class Disturbed(Database):
    """When a publishing has seen what is missing and begins to write it, somebody deletes `gone` in `folder`."""

    folder: Path = field(kw_only=True)
    gone: str = field(kw_only=True)
    readings: list[str] = field(default_factory=list)

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        self.readings.append("one more")
        if len(self.readings) == 2:
            subprocess.run(["rm", "-r", *self.folder.glob(self.gone)], check=True)  # noqa: S607
        with super().reading() as connection:
            yield connection


@pytest.mark.parametrize("gone", [".generations/*sessions.2026-03*", ".generations", "../published"])
def test_what_somebody_deletes_during_a_publishing_is_written_when_that_is_tried_again(published: Warehouse, gone: str) -> None:
    published.land("more", APRIL)
    disturbed = Disturbed(published.database.path, folder=published.folder, gone=gone)
    with pytest.raises(PublishingFailed, match=r"^cannot publish to [^\n]*deleted[^\n]*run again[^\n]*$"):
        publish(disturbed, published.folder, PublishedAccess.OWNER)
    published.publish()
    assert published.differing() == []


def test_a_database_that_was_put_back_takes_back_what_is_published(published: Warehouse) -> None:
    before = published.database.path.read_bytes()
    published.land("later", date(2026, 5, 1))
    published.publish()
    assert "analytics/sessions/2026-05.parquet" in published.files()
    published.database.path.write_bytes(before)
    published.publish()
    assert "analytics/sessions/2026-05.parquet" not in published.files()
    assert published.differing() == []


def test_another_shape_of_a_table_is_published_anew(published: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    narrower = Table("raw", "users", "Without roles.", ("user_id",), RAW_USERS.columns[:3])
    tables = tuple(narrower if table is RAW_USERS else table for table in PUBLISHED_TABLES)
    monkeypatch.setattr(publishing, "PUBLISHED_TABLES", tables)
    assert published.publish().files == 1
    assert [name for name, _ in shape_in(published.views, RAW_USERS)] == list(narrower.column_names)


def test_files_of_others_in_the_folder_stay_as_they_are(published: Warehouse) -> None:
    others = [published.folder / name for name in ("notes.txt", "analytics/sessions/mine.parquet", "mine/2026-03.parquet")]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        path.chmod(0o640)
    published.land("more", APRIL)
    published.publish(PublishedAccess.EVERYONE)
    assert [(path.read_text(), S_IMODE(path.stat().st_mode)) for path in others] == [("mine", 0o640)] * 3


def test_a_database_is_never_replaced_by_the_views(original: Warehouse, tmp_path: Path) -> None:
    database = Database(tmp_path / "ev_sessions.duckdb")
    shutil.copy(original.database.path, database.path)
    with pytest.raises(NotPublishedByUs, match=r"^[^\n]*ev_sessions\.duckdb[^\n]*EV_SESSIONS_PUBLISHED[^\n]*$"):
        publish(database, tmp_path, PublishedAccess.OWNER)
    assert all_rows_in(database) == all_rows_in(original.database)


def test_a_folder_with_any_name_will_do(warehouse: Warehouse) -> None:
    warehouse.folder = warehouse.folder / "it's [all] *here* / day=1"
    warehouse.publish()
    assert warehouse.differing() == []


def modes(folder: Path) -> set[tuple[bool, int]]:
    paths = [folder, *(path for path in folder.rglob("*") if path.name != "lock")]
    return {(path.is_dir(), S_IMODE(path.stat().st_mode)) for path in paths}


@pytest.mark.parametrize(
    ("access", "files", "folders"),
    [
        (PublishedAccess.OWNER, 0o400, 0o700),
        (PublishedAccess.GROUP, 0o440, 0o750),
        (PublishedAccess.EVERYONE, 0o444, 0o755),
    ],
)
def test_files_can_be_read_by_whom_the_setting_names_also_those_that_were_there_before(
    published: Warehouse, access: PublishedAccess, files: int, folders: int
) -> None:
    assert modes(published.folder) == {(False, 0o400), (True, 0o700)}
    published.publish(access)
    assert modes(published.folder) == {(False, files), (True, folders)}
    published.publish(PublishedAccess.OWNER)
    assert modes(published.folder) == {(False, 0o400), (True, 0o700)}


def test_former_files_stay_for_a_day_for_whoever_holds_a_connection(
    published: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    with published.views.reading() as held:
        count = "SELECT count(*) FROM analytics.sessions"
        assert held.sql(count).fetchall() == [(2,)]
        published.land("more", APRIL)
        published.publish()
        assert held.sql(count).fetchall() == [(2,)]
    generations = len(list((published.folder / ".generations").glob("*.*")))
    monkeypatch.setattr(publishing, "KEPT_FOR", timedelta(0))
    published.publish()
    assert len(list((published.folder / ".generations").glob("*.*"))) == len(published.files()) < generations
    assert published.differing() == []


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process can become larger than `size` (bytes), as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("room", [1_000, 100_000], ids=["for no table", "not for the views"])
def test_where_there_is_no_room_one_line_says_so_and_what_stood_there_stands(published: Warehouse, room: int) -> None:
    before = published.published(ANALYTICS_SESSIONS)
    published.land("more", APRIL)
    with files_up_to(room), pytest.raises(PublishingFailed, match=r"^cannot publish to [^\n]*free some space[^\n]*$"):
        published.publish()
    assert published.published(ANALYTICS_SESSIONS) == before
    published.publish()
    assert published.differing() == []


def test_a_folder_that_cannot_be_made_is_told_in_one_line(warehouse: Warehouse) -> None:
    warehouse.folder.write_text("a file")
    with pytest.raises(PublishingFailed, match=r"^cannot publish to [^\n]*mend the rights[^\n]*$"):
        warehouse.publish()


def program(body: str, *arguments: object) -> list[str]:
    """A process that runs `body` with `arguments` in `sys.argv`."""
    return [sys.executable, "-c", f"import sys\nfrom pathlib import Path\n{body}", *(str(argument) for argument in arguments)]


KILLED_WHILE_WRITING = """
import resource, signal
from ev_sessions.settings import PublishedAccess
from ev_sessions.warehouse.connection import Database
from ev_sessions.warehouse.publish import publish
# The kernel kills it in the middle of the first file that becomes so large.
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
publish(Database(Path(sys.argv[1])), Path(sys.argv[2]), PublishedAccess.OWNER)
"""


@pytest.mark.parametrize("after", [100, 6_000, 100_000], ids=lambda size: f"{size} bytes")
def test_a_killed_publishing_leaves_the_former_files_whole_and_the_next_one_mends_all(published: Warehouse, after: int) -> None:
    before = all_rows_in(published.views)
    published.land("more", APRIL)
    command = program(KILLED_WHILE_WRITING, published.database.path, published.folder, after)
    assert subprocess.run(command, check=False, capture_output=True).returncode == -signal.SIGXFSZ
    assert all_rows_in(published.views) == before
    for known in published.folder.rglob("*.parquet"):
        assert pq.read_metadata(known).num_columns > 0
    published.publish()
    assert published.differing() == []


def test_two_publishings_at_once_leave_what_one_leaves(published: Warehouse) -> None:
    published.land("more", APRIL)
    with ThreadPoolExecutor(2) as both:
        written = [task.result() for task in [both.submit(published.publish) for _ in range(2)]]
    assert sorted(publication.months for publication in written) == [0, 1]
    assert published.differing() == []


@settings(max_examples=6, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.dates(date(2026, 2, 27), date(2026, 4, 3)),
            st.sampled_from(["publish", "analytics/*/2026-03.parquet", ".generations/*sessions.2026-04*"]),
        ),
        max_size=6,
    )
)
def test_whatever_happened_before_a_publishing_makes_the_published_rows_those_of_the_database(
    original: Warehouse, tmp_path_factory: pytest.TempPathFactory, steps: list[date | str]
) -> None:
    warehouse = Warehouse.copied(original, tmp_path_factory.mktemp("any"))
    for number, step in enumerate(steps):
        if isinstance(step, date):
            warehouse.land(f"session {number}", step)
        elif step == "publish":
            warehouse.publish()
        else:
            for path in warehouse.folder.glob(step):
                path.unlink()
    warehouse.publish()
    assert warehouse.differing() == []


def test_any_duckdb_opens_the_views_from_any_folder(published: Warehouse, tmp_path: Path) -> None:
    body = "import duckdb; print(duckdb.connect(sys.argv[1], read_only=True).sql('FROM analytics.sessions').fetchall().__len__())"
    command = program(body, views_path(published.folder))
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "2"


def test_a_relative_folder_gives_views_that_work_from_elsewhere(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    warehouse.folder = Path("here")
    warehouse.publish()
    monkeypatch.chdir("/")
    warehouse.folder = tmp_path / "here"
    assert warehouse.differing() == []


def test_pyarrow_and_pandas_read_one_month(published: Warehouse) -> None:
    month = published.folder / "analytics" / "sessions" / "2026-03.parquet"
    assert pq.read_table(month)["session_day"].to_pylist() == [MARCH]
    frame = pd.read_parquet(published.folder / "analytics" / "fleet_daily")
    assert sorted(frame["session_day"]) == [MARCH, APRIL]
    assert list(frame.columns) == list(FLEET_DAILY.column_names)


@pytest.mark.parametrize("by", ["settings", "path", "link"])
def test_who_holds_a_state_keeps_it_and_who_asks_anew_in_the_same_program_sees_what_was_published_last(
    published: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setenv("EV_SESSIONS_PUBLISHED", str(published.folder))
    (tmp_path / "link.db").symlink_to(views_path(published.folder))
    path = {"settings": None, "path": views_path(published.folder), "link": tmp_path / "link.db"}[by]
    data = ev_sessions.open_data(path)
    with ev_sessions.open_data(path) as held:
        for sessions in (3, 4):
            published.land(f"session {sessions}", APRIL)
            published.publish()
            assert len(held.sessions(MARCH, APRIL)) == 2
            assert len(data.sessions(MARCH, APRIL)) == len(ev_sessions.open_data(path).sessions(MARCH, APRIL)) == sessions
    assert len(held.sessions(MARCH, APRIL)) == 4


def test_a_plain_duckdb_opens_the_views_beside_open_data(published: Warehouse) -> None:
    path = views_path(published.folder)
    with ev_sessions.open_data(path) as held, duckdb.connect(path, read_only=True) as plain:
        assert len(plain.sql("FROM analytics.sessions").fetchall()) == len(held.sessions(MARCH, APRIL)) == 2
        assert len(ev_sessions.open_data(path).sessions(MARCH, APRIL)) == 2


def test_a_query_spills_to_where_no_publishing_stumbles_over_it(published: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    with ev_sessions.open_data(views_path(published.folder)) as held:
        spilling = held.sql("SELECT current_setting('temp_directory') AS folder")["folder"].item()
        assert Path(spilling).parent == published.folder
        Path(spilling).mkdir()
        monkeypatch.setattr(publishing, "KEPT_FOR", timedelta(0))
        published.publish()
        assert Path(spilling).exists()


HOLDS_IT = """
import ev_sessions
with ev_sessions.open_data() as data:
    count = lambda: len(data.sessions('2025-01-01', '2026-12-31'))
    print(count(), flush=True)
    sys.stdin.readline()
    print(count(), len(ev_sessions.open_data().sessions('2025-01-01', '2026-12-31')))
"""


@contextmanager
def reader(environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Another process, that holds what `open_data` gives until it is told to look again."""
    with subprocess.Popen(
        program(HOLDS_IT), env=os.environ | environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


def said(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    return [int(number) for number in process.stdout.readline().split()]


def test_a_reader_that_holds_on_stops_neither_landing_nor_publishing_and_sees_one_state(published: Warehouse) -> None:
    with reader({"EV_SESSIONS_PUBLISHED": str(published.folder)}) as process:
        assert said(process) == [2]
        published.land("more", APRIL)
        published.publish()
        process.communicate("look again\n")
    assert len(published.published(ANALYTICS_SESSIONS)) == 3
    assert process.returncode == 0


def test_a_reader_is_served_in_the_middle_of_a_landing(published: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EV_SESSIONS_PUBLISHED", str(published.folder))
    monkeypatch.setenv("EV_SESSIONS_LOCK_TIMEOUT_SECONDS", "0")
    with published.database.writing() as connection:
        connection.begin()
        connection.execute("DELETE FROM analytics.sessions")
        assert len(ev_sessions.open_data().sessions(MARCH, APRIL)) == 2
        with reader({}) as process:
            assert said(process) == [2]
            process.communicate("look again\n")
        connection.rollback()


def test_before_the_first_publishing_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EV_SESSIONS_STATE_DIR", str(tmp_path))
    with pytest.raises(DatabaseMissing, match=r"^[^\n]*published[^\n]*ev-sessions run[^\n]*$"):
        ev_sessions.open_data()


def test_a_run_publishes_what_it_derived_under_the_eyes_of_a_reader(pipeline: Pipeline) -> None:
    pipeline.refresh(trailing(5), settings={"first_day": trailing(5).first.isoformat()})
    views = Database(views_path(pipeline.state / "published"))
    before = rows_in(views, ANALYTICS_SESSIONS)
    with reader({}) as process:
        assert said(process) == [len(before)]
        again = pipeline.refresh(trailing(2), settings={"lock_timeout_seconds": "0"})
        assert again.success
        output, _ = process.communicate("look again\n")
    assert [int(number) for number in output.split()] == [len(before), len(before)]
    told: dict[str, Any] = told_of_run(again, "fleet_daily")
    assert (told["published_months"], told["published_bytes"] > 0, told["publish_seconds"] > 0) == (1, True, True)
    ((derived_at,),) = pipeline.rows("SELECT max(derived_at) FROM analytics.fleet_daily")
    with views.reading() as connection:
        assert connection.sql("SELECT max(derived_at) FROM analytics.fleet_daily").fetchall() == [(derived_at,)]
    assert derived_at > datetime(2026, 1, 1, tzinfo=UTC)
    assert all_rows_in(views) == all_rows_in(Database(pipeline.state / "ev_sessions.duckdb"))
