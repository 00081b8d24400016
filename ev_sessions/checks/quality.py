"""The checks of `sessions`: one for each family of quality rules, and whether all that is made from it adds up to it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import dagster as dg
import duckdb

from ev_sessions.assets.failures import failures_told
from ev_sessions.assets.graph import DATABASE_POOL, Graph
from ev_sessions.checks.findings import Finding, days_to_check
from ev_sessions.days import DayRange
from ev_sessions.resources import Clock, WarehouseResource
from ev_sessions.tables import ANALYTICS_SESSIONS
from ev_sessions.warehouse.figures import compare_published, compare_tables, in_words
from ev_sessions.warehouse.rule_hits import Hits, rule_hits, sessions_judged
from ev_sessions.warehouse.rules import RULES, About, Family, Rule, Severity

# The metadata of a check names so many days, the newest; those before them are one row.
_DAYS_SHOWN = 31

_CONSEQUENCES = {Severity.ERROR: "Red", Severity.WARN: "Yellow", Severity.INFO: "Only counted"}

_ERROR, _WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def quality_checks(graph: Graph, *, lookback_days: int) -> dg.AssetChecksDefinition:
    """All of them in one step, over the days of the run; on their own, over the trailing days."""
    key = graph.key(ANALYTICS_SESSIONS)
    families = {dg.AssetCheckKey(key, family.value): family for family in Family}
    figures_agree = dg.AssetCheckSpec(
        "figures_agree",
        asset=key,
        description="Daily and monthly tables add up to the sessions, published files to their tables (rule 33). If not, the run "
        "fails. Months that this run touched are compared once they are summed up: `months_agree`.",
    )

    @dg.multi_asset_check(
        name=graph.name("sessions_checks"),
        specs=[
            *(dg.AssetCheckSpec(check.name, asset=key, description=_promise(family)) for check, family in families.items()),
            figures_agree,
        ],
        pool=DATABASE_POOL,
        can_subset=True,
    )
    def sessions_checks(
        context: dg.AssetCheckExecutionContext, session_warehouse: WarehouseResource, clock: dg.ResourceParam[Clock]
    ) -> Iterator[dg.AssetCheckResult]:
        days = days_to_check(graph, context.run, clock.now(), lookback_days)
        chosen = context.selected_asset_check_keys
        with failures_told(context, clock), session_warehouse.reading() as connection:
            hits, judged = rule_hits(connection, days), sessions_judged(connection, days)
            agreement = (
                agreement_of_figures(connection, Path(session_warehouse.published), days) if figures_agree.key in chosen else None
            )
        for check, family in families.items():
            if check in chosen:
                yield _of_family(check, [found for found in hits if found.rule.family is family], judged)
        if agreement is not None:
            yield agreement.result(figures_agree.key, _ERROR)
            if not agreement.passed:
                raise dg.Failure(agreement.sentence, allow_retries=False)

    return sessions_checks


def agreement_of_figures(connection: duckdb.DuckDBPyConnection, published: Path, days: DayRange) -> Finding:
    """Whether the tables add up to the sessions of `days`, and the files in the folder `published` to the tables."""
    tables, files = compare_tables(connection, days), compare_published(connection, published, days)
    waiting = {"months to be summed up": tables.months_waiting, "days to be published": files.days_unpublished}
    left = ", ".join(f"{what} {count}" for what, count in waiting.items() if count)
    differences = [*tables.differences, *files.differences]
    if not differences:
        not_compared = f"; not compared yet: {left}" if left else ""
        return Finding(passed=True, sentence=f"tables and published files of {days} add up{not_compared}")
    disagreeing = sorted({difference.day for difference in differences})
    return Finding(passed=False, sentence=in_words(differences, days), days=disagreeing)


def _of_family(check: dg.AssetCheckKey, hits: Sequence[Hits], judged: int) -> dg.AssetCheckResult:
    """What breaking the rules of one family comes to, among `judged` sessions and records."""
    worst = {found.rule.severity for found in hits}
    days = sorted({found.session_day for found in hits if found.rule.severity is not Severity.INFO})
    counts = Counter[Rule]()
    for found in hits:
        counts[found.rule] += found.count
    told = [
        f"{severity}: " + ", ".join(f"{rule.name} {count:,}" for rule, count in counts.items() if rule.severity is severity)
        for severity in Severity
        if severity in worst
    ]
    finding = Finding(not days, "; ".join(told) or "no rule of this family was broken", days)
    return finding.result(
        check,
        _ERROR if Severity.ERROR in worst else _WARN,
        {"rules": _rules_table(hits, counts, judged), "rules_by_day": _days_table(hits, list(counts))} if hits else {},
    )


def _rules_table(hits: Sequence[Hits], counts: Counter[Rule], judged: int) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "rule": rule.name,
                    "severity": rule.severity.value,
                    "count": count,
                    "days": len({found.session_day for found in hits if found.rule is rule}),
                    "share": _share(rule, count, judged),
                }
            )
            for rule, count in counts.items()
        ],
        dg.TableSchema(
            [
                dg.TableColumn("rule", "string"),
                dg.TableColumn("severity", "string"),
                dg.TableColumn("count", "int", "Sessions or records that break it; of a rule about days, the days"),
                dg.TableColumn("days", "int", "Days on which it was broken"),
                dg.TableColumn("share", "string", "Of the sessions and records of the days looked at"),
            ]
        ),
    )


def _days_table(hits: Sequence[Hits], rules: Sequence[Rule]) -> dg.TableMetadataValue:
    """One row per day on which a rule was broken, one column per rule."""
    counts: dict[tuple[date, Rule], int] = {(found.session_day, found.rule): found.count for found in hits}
    days = sorted({found.session_day for found in hits})
    earlier, shown = days[:-_DAYS_SHOWN], days[-_DAYS_SHOWN:]
    groups = ([("earlier", earlier)] if earlier else []) + [(day.isoformat(), [day]) for day in shown]
    return dg.MetadataValue.table(
        [
            dg.TableRecord({"day": name, **{rule.name: sum(counts.get((day, rule), 0) for day in group) for rule in rules}})
            for name, group in groups
        ],
        dg.TableSchema([dg.TableColumn("day", "string"), *(dg.TableColumn(rule.name, "int") for rule in rules)]),
    )


def _share(rule: Rule, count: int, judged: int) -> str:
    return "" if rule.about not in {About.SESSION, About.RECORD} or not judged else f"{count / judged:.2%}"


def _promise(family: Family) -> str:
    """What the check of a family says of itself."""
    rules = [rule for rule in RULES if rule.family is family and rule.about is not About.SUMS]
    named = {severity: [rule.name for rule in rules if rule.severity is severity] for severity in Severity}
    told = [f"{_CONSEQUENCES[severity]}: {', '.join(names)}." for severity, names in named.items() if names]
    return " ".join([*told, "Blocks nothing: what an error rule keeps out is out of the derived tables already."])
