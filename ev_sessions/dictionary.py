"""The data dictionary page, made from the declarations in `ev_sessions.tables`.

`python -m ev_sessions.dictionary docs/data-dictionary.md` writes it anew.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ev_sessions.tables import ALL_TABLES, Column, Table

_INTRODUCTION = """\
# Data dictionary

This page is made from `ev_sessions/tables.py`; `python -m ev_sessions.dictionary docs/data-dictionary.md` writes it anew.

`raw` is what the API said; `analytics` is what we say, and can be made again from `raw` at any time. Stamps are UTC. A session
day is the UTC day under which the API lists a session; a month is the sum over `report_date`, the local date.

Null is not zero: the sum of no known value is null. A ratio is a ratio of sums over the rows in which both sides are known, null
where its denominator is not above 0, and stands beside its coverage. Savings are signed and never clipped; what an energy would
have cost unsteered (`counterfactual`) is a claim of the platform that nobody has verified. The API's amounts are called EUR
also where the price zone has another currency; whether tax and grid fees are in them is not known.
"""


def render() -> str:
    """The page, as Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(table) for table in ALL_TABLES)])


def _section(table: Table) -> str:
    key = ", ".join(f"`{name}`" for name in table.key)
    origins = ", ".join(f"`{name}`" for name in table.made_from) or "the API's answers"
    return "\n".join(
        [
            f"## {table.full_name}",
            "",
            table.description,
            "",
            f"Key: {key}. Made from: {origins}.",
            "",
            "| column | type | unit | null | meaning |",
            "| --- | --- | --- | --- | --- |",
            *(_line(column) for column in table.columns),
            "",
        ]
    )


def _line(column: Column) -> str:
    null = "never" if column.required else "possible"
    return f"| `{column.name}` | {column.type} | {column.unit or ''} | {null} | {column.description} |"


def main(arguments: list[str]) -> None:
    """Write the page to the one path in `arguments`."""
    (path,) = arguments
    Path(path).write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
