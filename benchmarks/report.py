"""What was measured, as tables: printed, and written to `results.md`."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).with_name("results.md")
_PACKAGES = ("ev-sessions", "dagster", "duckdb", "httpx", "aiohttp", "pyarrow", "dlt")


@dataclass(frozen=True, slots=True)
class Target:
    """One promise: the figure that was measured and the most that it may be."""

    promise: str
    measured: float
    most: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether it is kept."""
        return self.measured <= self.most

    def row(self) -> tuple[str, ...]:
        """The cells of its line."""
        return (
            self.promise,
            f"{self.measured:.2f}{self.unit}",
            f"{self.most:.2f}{self.unit}",
            "met" if self.met else "**not met**",
        )


@dataclass(slots=True)
class Section:
    """The figures of one workload, and the promises that they decide."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def text(self) -> str:
        """The section in Markdown."""
        tables = [f"## {self.title}", _table(self.columns, self.rows)]
        if self.targets:
            tables.append(_table(("target", "measured", "at most", ""), (target.row() for target in self.targets)))
        return "\n\n".join(tables)


def write_results(sections: Iterable[Section]) -> None:
    """Write `sections` to `results.md`, in place of what stood there."""
    when = datetime.now(UTC).date()
    head = f"# Results\n\nMeasured on {when}: {_machine()}. What is measured, and how: [README.md](README.md)."
    RESULTS.write_text("\n\n".join([head, *(section.text() for section in sections)]) + "\n", encoding="utf-8")


def _machine() -> str:
    versions = [f"{name} {found}" for name in _PACKAGES if (found := _version(name))]
    return f"{os.cpu_count()} cores, {platform.system()}, Python {sys.version.split()[0]}, {', '.join(versions)}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
