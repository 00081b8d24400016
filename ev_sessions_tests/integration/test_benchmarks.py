"""The benchmarks' programs still run, and read what the API lists. What they measure is not tested: it is no promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.contenders import bound, fetch_and_land, whole_run
from benchmarks.large_table import Size, landing_seconds
from benchmarks.published import nightly_seconds
from benchmarks.report import Section, Target
from benchmarks.rules import judging_seconds
from benchmarks.simulated_api import SimulatedApi, simulated_api
from benchmarks.workloads import Workload

FEW = Workload("few", vehicles=5, days=2)


@pytest.fixture(scope="module")
def api() -> Iterator[SimulatedApi]:
    with simulated_api(FEW) as running:
        yield running


def test_the_bound_and_our_fetch_read_the_same_records(api: SimulatedApi) -> None:
    truth = api.truth(FEW.window)
    assert bound(api, FEW).told["sessions"] == truth["rows"] + truth["malformed"]
    assert fetch_and_land(api, FEW).told["sessions"] == truth["rows"]


def test_a_whole_run_lands_exactly_what_the_api_lists(api: SimulatedApi) -> None:
    measured = whole_run(api, FEW)
    assert measured.told["sessions"] == api.truth(FEW.window)["rows"]
    assert measured.peak_mb > 0


def test_a_window_lands_in_an_empty_table_and_in_a_large_one(tmp_path: Path) -> None:
    found = landing_seconds(tmp_path, [2, 5], Size(vehicles=5, days=30))
    assert {vehicles: sorted(seconds) for vehicles, seconds in found.items()} == {2: ["empty", "full"], 5: ["empty", "full"]}


def test_what_a_night_touched_is_published(tmp_path: Path) -> None:
    found = nightly_seconds(tmp_path, Size(vehicles=5, days=60))
    assert sorted(found) == ["deriving", "landing", "megabytes", "publishing"]
    assert found["megabytes"] > 0


def test_the_rules_judge_a_window_with_and_without_a_past(tmp_path: Path) -> None:
    found = judging_seconds(tmp_path, Size(vehicles=5, days=30))
    assert {place: sorted(steps) for place, steps in found.items()} == {
        "empty": ["deriving", "judging", "landing"],
        "full": ["deriving", "judging", "landing"],
    }


def test_a_figure_above_its_target_is_called_not_met() -> None:
    section = Section("W0", ("", "s"), [("ours", "1.0")], [Target("kept", 1.0, 1.5), Target("broken", 2.0, 1.5)])
    assert [line.rsplit("|", 2)[1].strip() for line in section.text().splitlines()[-2:]] == ["met", "**not met**"]
