"""What stands in a database, in the words in which the sandbox tells its truth.

A program: prints one JSON object with `rows`, `malformed`, `energy_kwh`, `cost_eur` and `savings_eur` of the days given.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ev_sessions.warehouse.connection import Database


def landed(database: Path, first: str, last: str) -> dict[str, object]:
    """The sums over raw.sessions from `first` to `last`; `malformed` counts the records under quarantine."""
    with Database(database).reading() as connection:
        rows, energy, cost, savings = connection.execute(
            """
            SELECT count(*), sum(energy_charged_kwh), sum(actual_cost_eur), sum(actual_savings_eur)
            FROM raw.sessions
            WHERE session_day BETWEEN ? AND ?
            """,
            [first, last],
        ).fetchall()[0]
        ((malformed,),) = connection.execute("SELECT count(*) FROM raw.quarantine").fetchall()
    sums = {"energy_kwh": str(energy), "cost_eur": str(cost), "savings_eur": str(savings)}
    return {"rows": rows, "malformed": malformed, **sums}


if __name__ == "__main__":
    print(json.dumps(landed(Path(sys.argv[1]), *sys.argv[2:])))
