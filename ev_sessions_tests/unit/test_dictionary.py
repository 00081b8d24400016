"""The pages of the documentation that are made from the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from ev_sessions import dictionary
from ev_sessions.limits import LIMITS
from ev_sessions.settings import SECRETS, Settings, variable
from ev_sessions.tables import ALL_TABLES
from ev_sessions.views import ALL_VIEWS, MEASURES
from ev_sessions.warehouse.rules import BY_NAME, RULES

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


def test_every_column_of_every_table_and_view_is_on_the_page() -> None:
    page = dictionary.render_tables()
    for table in ALL_TABLES:
        assert columns_under(page, table.full_name) == list(table.column_names)
    measures = columns_under(page, "The measures of a group")
    for view in ALL_VIEWS:
        own = columns_under(page, view.full_name)
        assert set(view.column_names) == {*own, *(measures if view in MEASURES.values() else ())}


def columns_under(page: str, title: str) -> list[str]:
    section = page.split(f"## {title}\n")[1].split("\n## ", maxsplit=1)[0]
    return [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]


def test_every_rule_and_every_limit_is_on_the_page_and_says_which_rules_it_belongs_to() -> None:
    page = dictionary.render_rules()
    rules, limits = page.split("## Limits\n")
    assert {line.split("`")[1] for line in rules.splitlines() if line.startswith("| `")} == set(BY_NAME)
    rows = {line.split("`")[1]: line for line in limits.splitlines() if line.startswith("| `")}
    assert list(rows) == [limit.name for limit in LIMITS]
    assert all(f"`{rule.name}`" in rows[limit] for rule in RULES for limit in rule.limits)
    assert "| `long_stay` | 5 | warn | Plugged in for more than 48 h |" in rules
    assert "| `savings_per_kwh` | 0.60 | EUR/kWh | yes |" in limits


@pytest.mark.parametrize(("name", "bars"), [("data-dictionary.md", 6), ("settings.md", 5), ("quality-rules.md", 7)])
def test_no_text_breaks_out_of_its_cell(name: str, bars: int) -> None:
    rows = [line for line in dictionary.PAGES[name]().splitlines() if line.startswith("| `")]
    assert {row.count("|") for row in rows} == {bars}
