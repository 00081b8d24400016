"""What the sensors share that ask for what is unread: when to look, what to ask for, and what to remember.

Such a sensor opens the database read-only and briefly, and not at all while the file is unchanged and nothing has become due.
The runs that it asks for look up themselves which vehicles they are after.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import dagster as dg
import duckdb
import msgspec

from ev_sessions.assets.graph import Graph
from ev_sessions.assets.raw_sessions import Vehicles
from ev_sessions.automation.refresh import BACKGROUND_TAG, Job, Kind, daily_keys, run_days, run_tags, sensor_status
from ev_sessions.days import DayRange, consecutive, utc_today
from ev_sessions.resources import Clock, WarehouseResource
from ev_sessions.tables import RAW_SESSIONS
from ev_sessions.warehouse.failures import DatabaseLocked, DatabaseMissing, DatabaseOutdated

MOST_REQUESTS = 5
"""So many runs a sensor asks for in one tick at most."""

_PATIENCE_SECONDS = 5.0

_UNDER_WAY = [  # not NOT_STARTED: a command that was killed at once leaves a run that will never be anything else
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]
# They ask for single vehicles, so what they cover may be unread for others.
_NARROW = {Kind.FAILED_VEHICLES.value, Kind.NEW_VEHICLES.value}


@dataclass(frozen=True, slots=True)
class Unread:
    """What a look at the database has found: the days to ask for now, and when there may be more without a change of the file.

    `reason` stays the same as long as it is the same trouble: what was asked for today is asked for again only for another one.
    """

    days: Collection[date]
    next_due: datetime | None = None
    reason: str = ""


class Memory(msgspec.Struct, frozen=True):
    """What a sensor remembers of its last look; its cursor."""

    database: str
    """The state of the database file."""
    today: date
    next_due: datetime | None
    is_settled: bool
    """Whether nothing was left waiting."""
    asked: tuple[str, ...]
    """The keys of what was asked for today."""

    def still_holds(self, database: str, now: datetime) -> bool:
        """Whether another look at `now` (aware) would find the same."""
        unchanged = self.is_settled and self.database == database and self.today == utc_today(now)
        return unchanged and (self.next_due is None or now < self.next_due)


@dataclass(frozen=True, slots=True)
class Choice:
    """The runs to ask for, as (key, days), and whether some had to wait."""

    wanted: Sequence[tuple[str, DayRange]]
    others_wait: bool


Question = Callable[[duckdb.DuckDBPyConnection, datetime], Unread]


def choose(unread: Unread, under_way: Iterable[DayRange], asked: Collection[str], *, today: date, days_per_run: int) -> Choice:
    """What to ask for of what is `unread`: the newest days first, neither what runs `under_way` read nor what was `asked`."""
    busy = {day for days in under_way for day in days}
    free = [day for day in unread.days if day not in busy]
    runs = [run for days in reversed(consecutive(free)) for run in days.split_back(days_per_run)]
    keyed = {f"{run}{unread.reason}@{today}": run for run in runs}
    fresh = [(key, run) for key, run in keyed.items() if key not in asked]
    return Choice(fresh[:MOST_REQUESTS], others_wait=len(fresh) > MOST_REQUESTS or len(free) < len(unread.days))


def days_under_way(graph: Graph, kind: Kind, runs: Iterable[dg.DagsterRun]) -> list[DayRange]:
    """The days that `runs` read anyway, as far as that makes a run of `kind` unnecessary."""
    key = graph.key(RAW_SESSIONS)
    found = []
    for run in runs:
        reads_sessions = key in run.asset_selection if run.asset_selection else run.job_name == graph.name("refresh")
        too_narrow = run.tags.get(BACKGROUND_TAG) in _NARROW - {kind.value}
        days = run_days(run)
        if reads_sessions and not too_narrow and days is not None:
            found.append(days)
    return found


def background_sensor(
    graph: Graph,
    job: Job,
    kind: Kind,
    question: Question,
    *,
    vehicles: Vehicles,
    every_seconds: int,
    running: bool,
    description: str,
) -> dg.SensorDefinition:
    """The sensor `kind`: asks for runs of `job`, without the fleet and for `vehicles`, over the days that `question` finds."""

    @dg.sensor(
        name=graph.name(kind.value),
        job=job,
        minimum_interval_seconds=every_seconds,
        default_status=sensor_status(running=running),
        description=description,
    )
    def sensor(
        context: dg.SensorEvaluationContext, session_warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> dg.SensorResult | dg.SkipReason:
        now = clock.now()
        memory = _remembered(context.cursor)
        database = file_state(Path(session_warehouse.database))
        if memory and memory.still_holds(database, now):
            return dg.SkipReason("The database has not changed since the last look, and nothing has become due.")
        # Before the database is read: a run that ends in between must not have its days asked for again.
        under_way = days_under_way(graph, kind, context.instance.get_runs(dg.RunsFilter(statuses=_UNDER_WAY)))
        unread = _look(session_warehouse, question, now)
        if isinstance(unread, str):
            return dg.SkipReason(unread)
        today = utc_today(now)
        asked = memory.asked if memory and memory.today == today else ()
        choice = choose(unread, under_way, asked, today=today, days_per_run=graph.days_per_run)
        keys = tuple(key for key, _ in choice.wanted)
        after = Memory(database, today, unread.next_due, not choice.others_wait, asked + keys)
        return dg.SensorResult(
            run_requests=[_request(graph, kind, vehicles, key, days) for key, days in choice.wanted],
            skip_reason=None if choice.wanted else _why_nothing(unread),
            cursor=msgspec.json.encode(after).decode(),
        )

    return sensor


def file_state(path: Path) -> str:
    """What changes with every commit to the database at `path`; empty while there is none."""
    # What a killed writer had committed stands in the second file until the next one takes it over.
    files = (path, path.with_name(f"{path.name}.wal"))
    return " ".join(str(file.stat().st_mtime_ns) for file in files if file.exists())


def _look(warehouse: WarehouseResource, question: Question, now: datetime) -> Unread | str:
    """The answer, or why there is none for now."""
    try:
        with warehouse.reading(lock_timeout_seconds=_PATIENCE_SECONDS) as connection:
            return question(connection, now)
    except DatabaseLocked:
        return "A run is writing to the database; the next tick looks again."
    except DatabaseMissing:
        return "There is no database yet; the first refresh makes it."
    except DatabaseOutdated:
        return "The database is one of an older version; the next refresh brings it up to date."


def _remembered(cursor: str | None) -> Memory | None:
    try:
        return msgspec.json.decode(cursor or "null", type=Memory | None)
    except msgspec.DecodeError:
        return None  # it was set by hand, or by another version of this program: look again


def _request(graph: Graph, kind: Kind, vehicles: Vehicles, key: str, days: DayRange) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=key,
        asset_selection=daily_keys(graph),
        run_config={"ops": {graph.name("raw_sessions"): {"config": {"vehicles": vehicles}}}},
        tags=run_tags(kind, days),
    )


def _why_nothing(unread: Unread) -> str:
    if unread.days:
        return f"{len(unread.days)} days wait: runs under way read them, or they were asked for today already."
    if unread.next_due is not None:
        return f"Nothing is due yet; the next is at {unread.next_due:%Y-%m-%d %H:%M} UTC."
    return "Nothing is unread."
