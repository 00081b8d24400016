"""The soak test in small, so that it cannot rot: `make soak` lives through two months, this through a few days."""

from __future__ import annotations

from pathlib import Path

from ev_sessions_tests.soak.simulation import Soak, simulate


def test_days_of_outages_kills_and_faults_end_with_every_table_as_the_truth_has_it(tmp_path: Path) -> None:
    report = simulate(Soak(days=3, vehicles=6, lookback_days=1), tmp_path / "state", tell=lambda _: None)
    assert report.differences == []
    assert report.figures["runs of daily_refresh"] == 3
