"""The data dictionary page."""

from __future__ import annotations

from pathlib import Path

from ev_sessions import dictionary
from ev_sessions.tables import ALL_TABLES

PAGE = Path(__file__).parents[2] / "docs" / "data-dictionary.md"


def test_the_committed_page_is_the_one_that_the_declarations_make() -> None:
    assert PAGE.read_text(encoding="utf-8") == dictionary.render(), f"run: python -m ev_sessions.dictionary docs/{PAGE.name}"


def test_the_page_is_written_to_the_path_given(tmp_path: Path) -> None:
    dictionary.main([str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == dictionary.render()


def test_every_column_of_every_table_is_on_the_page() -> None:
    page = dictionary.render()
    for table in ALL_TABLES:
        section = page.split(f"## {table.full_name}\n")[1].split("\n## ")[0]
        assert [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")] == list(table.column_names)


def test_no_text_breaks_out_of_its_cell() -> None:
    rows = [line for line in dictionary.render().splitlines() if line.startswith("| `")]
    assert {row.count("|") for row in rows} == {6}
