"""The pages of the documentation that are made from the code: the data dictionary, the settings and the quality rules.

`make docs`, which is `python -m ev_sessions.dictionary`, writes them into `docs/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path

from pydantic.fields import FieldInfo

from ev_sessions.limits import LIMITS, Limit, Limits
from ev_sessions.settings import FILE_SUFFIX, SECRETS, Settings, variable
from ev_sessions.tables import ALL_TABLES, GROUP_MEASURES, PUBLISHED_TABLES, Column, Table
from ev_sessions.views import ALL_VIEWS, MEASURES
from ev_sessions.warehouse.rules import RULES, Family, Rule

_TABLES_INTRODUCTION = """\
# Data dictionary

This page is made from `ev_sessions/tables.py` and `ev_sessions/views.py`; `make docs` writes it anew.

`raw` is what the API said; `analytics` is what we say, and can be made again from `raw` at any time. Stamps are UTC. A session
day is the UTC day under which the API lists a session; a month is the sum over `report_date`, the local date.

Null is not zero: the sum of no known value is null. A ratio is a ratio of sums over the rows in which both sides are known, null
where its denominator is not above 0, and stands beside its coverage. Savings are signed and never clipped; what an energy would
have cost unsteered (`counterfactual`) is a claim of the platform that nobody has verified. The API's amounts are called EUR
also where the price zone has another currency; whether tax and grid fees are in them is not known.
"""


_MEASURES_INTRODUCTION = """\
## The measures of a group

The views `analytics.measures_by_<period>_<group>` have all of these, next to the columns that their own sections name; the
stored tables have those that their sections list.
"""

_SETTINGS_INTRODUCTION = f"""\
# Settings

This page is made from `ev_sessions/settings.py`; `make docs` writes it anew.

A setting is an environment variable; an empty one counts as absent. A secret may also be given as a file: its path in the
variable with `{FILE_SUFFIX}` at the end of its name. `ev-sessions doctor` shows what is in effect and names variables that are
misspelt. A malformed value ends every command with one line and exit status 2.

| variable | default | limits | meaning |
| --- | --- | --- | --- |
"""

_RULES_INTRODUCTION = """\
# Quality rules

This page is made from `ev_sessions/warehouse/rules.py` and `ev_sessions/limits.py`; `make docs` writes it anew.

A rule is called as what is wrong where it is broken. What follows depends on its severity:

- **error**: the session stays in `raw.sessions` and is kept out of `analytics.sessions`, and so out of every figure that is made
  from it. `raw.quarantine` lists it with every reason, until the API mends it or no longer lists it, or until a limit is changed.
  So it does with records that cannot be typed; what these were stays in `raw.quarantine_past`;
- **warn**: the session stays in. `flags` of `analytics.sessions` names the rule, and `flagged_share` of the daily tables counts;
- **info**: nothing but a count: what is unusual and true.

Rules about a day, a read or sums (30 to 34) keep nothing out and flag nothing: an error turns a check red, a warning yellow.

`analytics.rule_hits` counts all three per session day, and `ev-sessions bad-rows` lists the rows themselves. Each family is one
asset check of `sessions`, red with severity ERROR where an error rule was broken and WARN where only warnings are. None of them
stops anything: what breaks an error rule is kept out already. Other checks stop a run: `keys_unique` before anything is
derived from rows that stand twice, and `figures_agree` and `months_agree` (rule 33) after it, where tables or published files do
not add up. The comparison with the API's own sums (rule 34) has checks of its own.

The numbers are those of the specification; rules that share one are parts of it. The files that judge lie in `ev_sessions/`.
Where a rule needs a value that is null, it is not broken: only `no_end` and `incomplete_figures` are about what is missing.
"""

_LIMITS_INTRODUCTION = f"""\
## Limits

`{variable("limits")}` replaces limits, as pairs with commas: `energy_much_kwh=90,SE_4:cost_unusual_max=2`. What has a price zone
before it holds for that zone alone, over the general one; limits that zones can have say so. `ev-sessions requarantine` judges
every day anew by the limits in force: without it, only the days that a run derives anyway are.

| limit | default | unit | per price zone | meaning | rules |
| --- | --- | --- | --- | --- | --- |
"""

_LIMITS = {"gt": "above", "ge": "from", "le": "to"}


def render_tables() -> str:
    """The page on the tables, as Markdown."""
    tables, views = map(_section, ALL_TABLES), map(_section, ALL_VIEWS)
    return "\n".join([_TABLES_INTRODUCTION, *tables, _MEASURES_INTRODUCTION, *_columns(GROUP_MEASURES), *views])


def render_settings() -> str:
    """The page on the settings, as Markdown."""
    rows = (_setting(name, field) for name, field in Settings.model_fields.items())
    return _SETTINGS_INTRODUCTION + "\n".join(rows) + "\n"


def render_rules() -> str:
    """The page on the quality rules, as Markdown."""
    families = "\n".join(_family(family, [rule for rule in RULES if rule.family is family]) for family in Family)
    return f"{_RULES_INTRODUCTION}\n{families}\n{_LIMITS_INTRODUCTION}" + "\n".join(map(_limit_line, LIMITS)) + "\n"


def _family(family: Family, rules: Iterable[Rule]) -> str:
    return "\n".join(
        [
            f"## {family.value.replace('_', ' ').capitalize()}",
            "",
            "| rule | number | severity | meaning, with the limits that hold unless replaced | source | judged in |",
            "| --- | --- | --- | --- | --- | --- |",
            *(_rule_line(rule) for rule in rules),
            "",
        ]
    )


def _rule_line(rule: Rule) -> str:
    meaning = rule.meaning_under(Limits())
    return f"| `{rule.name}` | {rule.number} | {rule.severity} | {meaning} | {rule.source} | `{rule.judged_by}` |"


def _limit_line(limit: Limit) -> str:
    rules = ", ".join(f"`{rule.name}`" for rule in RULES if limit.name in rule.limits)
    zones = "yes" if limit.by_zone else "no"
    return f"| `{limit.name}` | {limit.default:f} | {limit.unit} | {zones} | {limit.meaning} | {rules} |"


def _section(table: Table) -> str:
    key = ", ".join(f"`{name}`" for name in table.key)
    origins = ", ".join(f"`{name}`" for name in table.made_from) or "the API's answers"
    return "\n".join(
        [
            f"## {table.full_name}",
            "",
            table.description,
            "",
            f"Key: {key}. Made from: {origins}. {_published(table)}",
            "",
            *_columns(column for column in table.columns if not (table in MEASURES.values() and column in GROUP_MEASURES)),
        ]
    )


def _columns(columns: Iterable[Column]) -> list[str]:
    return ["| column | type | unit | null | meaning |", "| --- | --- | --- | --- | --- |", *map(_line, columns), ""]


def _published(table: Table) -> str:
    if table in MEASURES.values():
        return "A view, in the database and in what is published. It has the measures of a group, and:"
    if table in ALL_VIEWS:
        return "A view, in the database and in what is published."
    if table not in PUBLISHED_TABLES:
        return "Not published."
    return f"Published in a file per month of `{table.cut_by}`." if table.cut_by else "Published in one file."


def _line(column: Column) -> str:
    null = "never" if column.required else "possible"
    return f"| `{column.name}` | {column.type} | {column.unit or ''} | {null} | {column.description} |"


def _setting(name: str, field: FieldInfo) -> str:
    file = f"; or a file, in `{variable(name)}{FILE_SUFFIX}`" if name in SECRETS else ""
    return f"| `{variable(name)}` | {_default(field)} | {_limits(field)} | {field.description}{file} |"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value in (None, {}, Limits()):
        return "none"
    return f"`{value.value if isinstance(value, Enum) else str(value).lower() if isinstance(value, bool) else value}`"


def _limits(field: FieldInfo) -> str:
    bounds = ((word, getattr(limit, name, None)) for limit in field.metadata for name, word in _LIMITS.items())
    return " ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)


PAGES: Mapping[str, Callable[[], str]] = {
    "data-dictionary.md": render_tables,
    "settings.md": render_settings,
    "quality-rules.md": render_rules,
}


def main(folder: Path = Path("docs")) -> None:
    """Write every page into `folder`."""
    for name, render in PAGES.items():
        (folder / name).write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
