"""The sections of a run of the benchmarks: which contenders meet on which workload, and what must come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec

from benchmarks.contenders import Contender, bound, dlt, fetch_and_land, judgings, landings, publishings, whole_run
from benchmarks.measured import Measured
from benchmarks.report import Section, Target
from benchmarks.simulated_api import SimulatedApi, simulated_api
from benchmarks.workloads import LARGE_FLEET, SMALL_FLEET, W1, W2, W3, W4, Workload

TURNS = 3
"""How often the short contenders take turns; the fastest of each counts, which is the one that was disturbed least."""

_COLUMNS = ("", "wall s / CPU s / peak MB", "from first request to last commit, s", "requests", "refusals")
_BOUND, _FETCH_AND_LAND, _WHOLE_RUN = "bound", "our fetch + land", "`ev-sessions run`"
_MB = " MB"
_SECONDS = " s"


def one_day() -> Section:
    """W1: within reach of the bound, and faster than dlt."""
    return _against_the_bound(W1, "insert_values")


def a_month() -> Section:
    """W2: the same for a month; dlt with the load files that suit it best."""
    return _against_the_bound(W2, "parquet")


def a_limit(workload: Workload = W3) -> Section:
    """W3: what the API allows is used, without a herd of refused requests. Nobody tells the client the limit."""
    section = _section(workload)
    with simulated_api(workload) as api:
        alone, _ = (_turn(section, name, run, api, workload) for name, run in _OURS.items())
    floor = alone.told["requests"] / workload.rate_limit
    section.targets = [
        Target("our fetch, in multiples of requests / limit", alone.told["fetch_seconds"] / floor, 1.25),
        Target("refusals of our fetch", alone.told["refused_429"], 5),
    ]
    return section


def faults(workload: Workload = W4) -> Section:
    """W4: `whole_run` raises unless every row and sum is right, so that one that ends is exact."""
    section = _section(workload)
    with simulated_api(workload) as api:
        measured = _turn(section, _WHOLE_RUN, whole_run, api, workload)
    section.targets = [Target("vehicles that could not be read", measured.told["vehicles_failed"], 0)]
    return section


def memory() -> Section:
    """What twenty times the vehicles add to the memory of a run."""
    section = Section("Memory: `ev-sessions run` over 7 days", _COLUMNS)
    peaks = []
    for workload in (SMALL_FLEET, LARGE_FLEET):
        with simulated_api(workload) as api:
            peaks.append(_turn(section, f"{workload}", whole_run, api, workload).peak_mb)
    section.targets = [Target("peak of the large fleet above that of the small one", peaks[1] - peaks[0], 100, _MB)]
    return section


def large_table() -> Section:
    """What 10 million rows add to a landing."""
    section = Section("Landing a window of 14 days, s", ("", "empty table", "10 million rows"))
    for vehicles, seconds in landings([SMALL_FLEET.vehicles, LARGE_FLEET.vehicles]).told.items():
        name = f"{int(vehicles):,} vehicles"
        section.rows.append((name, f"{seconds['empty']:.2f}", f"{seconds['full']:.2f}"))
        section.targets.append(
            Target(f"{name}: more than into an empty table", seconds["full"] - seconds["empty"], 1.5, _SECONDS)
        )
    return section


def published() -> Section:
    """What readers cost: publishing the months that a night touched, beside the landing."""
    steps = ("landing", "deriving", "publishing")
    section = Section("Publishing after a window of 14 days at 10 million rows, wall s / CPU s", ("", *steps, "MB"))
    for vehicles, night in publishings([SMALL_FLEET.vehicles, LARGE_FLEET.vehicles]).told.items():
        name = f"{int(vehicles):,} vehicles"
        took = (f"{night[step]['wall']:.2f} / {night[step]['cpu']:.2f}" for step in steps)
        section.rows.append((name, *took, f"{night['megabytes']:.0f}"))
        ratio = night["publishing"]["wall"] / night["landing"]["wall"]
        section.targets.append(Target(f"{name}: publishing, wall, in multiples of the landing", ratio, 1.0))
    return section


def rules() -> Section:
    """What judging by the quality rules costs, beside the landing and behind a past."""
    steps = ("landing", "judging", "deriving")
    section = Section("Quality rules over a window of 14 days of 20,000 vehicles, wall s / CPU s", ("", *steps))
    told = judgings(LARGE_FLEET.vehicles).told
    for key, name in (("empty", "empty table"), ("full", "10 million rows")):
        section.rows.append((name, *(f"{told[key][step]['wall']:.2f} / {told[key][step]['cpu']:.2f}" for step in steps)))
        ratio = told[key]["judging"]["cpu"] / told[key]["landing"]["cpu"]
        section.targets.append(Target(f"{name}: judging, CPU, in multiples of the landing", ratio, 1.0))
    ratio = told["full"]["judging"]["cpu"] / told["empty"]["judging"]["cpu"]
    section.targets.append(Target("10 million rows: judging, CPU, in multiples of that without a past", ratio, 1.5))
    return section


SCENARIOS: Mapping[str, Callable[[], Section]] = {
    "W1": one_day,
    "W2": a_month,
    "W3": a_limit,
    "W4": faults,
    "memory": memory,
    "landing": large_table,
    "publishing": published,
    "rules": rules,
}
"""What can be named on the command line, in the order in which it runs."""

_OURS: Mapping[str, Contender] = {_FETCH_AND_LAND: fetch_and_land, _WHOLE_RUN: whole_run}


def _against_the_bound(workload: Workload, peer_format: str) -> Section:
    section = _section(workload)
    with simulated_api(workload) as api:
        turns = [(bound(api, workload), fetch_and_land(api, workload)) for _ in range(TURNS)]
        least, alone = (min(of_one, key=_work_seconds) for of_one in zip(*turns, strict=True))
        section.rows += [_row(_BOUND, least), _row(_FETCH_AND_LAND, alone)]
        whole = _turn(section, _WHOLE_RUN, whole_run, api, workload)
        section.targets.append(
            Target("our fetch + land, in multiples of the bound", _work_seconds(alone) / _work_seconds(least), 3.0)
        )
        if find_spec("dlt"):
            name = f"dlt, 50 workers, {peer_format}"
            peer = _turn(section, name, dlt(peer_format), api, workload)
            section.targets.append(Target(f"{_WHOLE_RUN}, wall, in multiples of {name}", whole.wall / peer.wall, 1.0))
    return section


def _section(workload: Workload) -> Section:
    return Section(f"{workload.name}: {workload}", _COLUMNS)


def _turn(section: Section, name: str, contender: Contender, api: SimulatedApi, workload: Workload) -> Measured:
    measured = contender(api, workload)
    section.rows.append(_row(name, measured))
    return measured


def _row(name: str, measured: Measured) -> tuple[str, ...]:
    told = measured.told
    counts = (str(told.get(count, "")) for count in ("requests", "refused_429"))
    return name, str(measured), f"{_work_seconds(measured):.2f}", *counts


def _work_seconds(measured: Measured) -> float:
    """The seconds that the contender itself counted, without the start of its process; a run tells them by step."""
    seconds = measured.told["seconds"]
    return float(seconds["total"] if isinstance(seconds, dict) else seconds)
