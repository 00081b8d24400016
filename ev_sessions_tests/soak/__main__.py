"""`python -m ev_sessions_tests.soak`: runs the soak, prints its figures, ends with 1 where anything differs from the truth."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from ev_sessions_tests.pipeline import own_environment
from ev_sessions_tests.soak.simulation import Report, Soak, simulate


def main() -> int:
    """Run the soak that the arguments describe; 1 where anything differs."""
    arguments = _arguments()
    soak = Soak(
        days=arguments.days,
        vehicles=arguments.vehicles,
        seed=arguments.seed,
        lookback_days=arguments.lookback_days,
        kill_share=arguments.kill_share,
    )
    console = Console()
    with own_environment(), TemporaryDirectory() as temporary:
        report = simulate(soak, arguments.keep or Path(temporary) / "state", console.print)
    _show(console, report)
    return 1 if report.differences else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ev_sessions_tests.soak", description=__doc__)
    parser.add_argument("--days", type=int, default=Soak.days, help="simulated days on which cars are plugged in")
    parser.add_argument("--vehicles", type=int, default=Soak.vehicles)
    parser.add_argument("--seed", type=int, default=Soak.seed)
    parser.add_argument("--lookback-days", type=int, default=Soak.lookback_days, help="what every refresh reads again")
    parser.add_argument("--kill-share", type=float, default=Soak.kill_share, help="share of run processes that are killed")
    parser.add_argument("--keep", type=Path, help="a new folder for the state, to look into afterwards")
    return parser.parse_args()


def _show(console: Console, report: Report) -> None:
    table = Table("figure", "value", title="soak")
    for name, value in report.figures.items():
        table.add_row(name, str(value))
    console.print(table)
    for difference in report.differences:
        console.print(f"[red]differs:[/red] {difference}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
