"""The pages of the documentation that are made from the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from ev_sessions import dictionary
from ev_sessions.settings import SECRETS, Settings, variable
from ev_sessions.tables import ALL_TABLES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", dictionary.PAGES)
def test_the_committed_page_is_the_one_that_the_code_makes(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == dictionary.PAGES[name](), "run: make docs"


def test_every_page_is_written_into_the_folder_given(tmp_path: Path) -> None:
    dictionary.main(tmp_path)
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {
        name: render() for name, render in dictionary.PAGES.items()
    }


def test_every_setting_is_on_the_page_and_every_secret_names_its_file() -> None:
    page = dictionary.render_settings()
    rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert rows == [variable(name) for name in Settings.model_fields]
    assert all(f"`{variable(name)}_FILE`" in page for name in SECRETS)


def test_limits_and_defaults_are_those_that_the_settings_have() -> None:
    page = dictionary.render_settings()
    assert "| `EV_SESSIONS_LOOKBACK_DAYS` | `14` | from 0 to 366 |" in page
    assert "| `EV_SESSIONS_SESSION_DAY` | `plug_in_time` |  |" in page
    assert "| `EV_SESSIONS_ALLOW_PLAIN_HTTP` | `false` |  |" in page
    assert "| `EV_SESSIONS_ORG_ID` | none |  |" in page


def test_every_column_of_every_table_is_on_the_page() -> None:
    page = dictionary.render_tables()
    for table in ALL_TABLES:
        section = page.split(f"## {table.full_name}\n")[1].split("\n## ")[0]
        assert [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")] == list(table.column_names)


@pytest.mark.parametrize(("name", "bars"), [("data-dictionary.md", 6), ("settings.md", 5)])
def test_no_text_breaks_out_of_its_cell(name: str, bars: int) -> None:
    rows = [line for line in dictionary.PAGES[name]().splitlines() if line.startswith("| `")]
    assert {row.count("|") for row in rows} == {bars}
