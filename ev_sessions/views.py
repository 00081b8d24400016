"""The views that stand beside the stored tables of `analytics`: one declaration each, as the tables have in `ev_sessions.tables`.

They are always as fresh as the tables that they look at, in the database and in what is published. How they are computed
stands in `ev_sessions.warehouse.views`.
"""

from __future__ import annotations

from enum import StrEnum

from ev_sessions.tables import (
    ANALYTICS_SESSIONS,
    EXACT,
    FLEET_DAILY,
    GROUP_MEASURES,
    MONTHLY_SAVINGS,
    RAW_VEHICLES,
    STAMP,
    Column,
    Table,
)


class Period(StrEnum):
    """What the rows of a view of measures are cut by in time."""

    DAY = "day"
    MONTH = "month"


class Group(StrEnum):
    """Whose sessions a row of a view of measures is about."""

    VEHICLE = "vehicle"
    USER = "user"
    ORGANISATION = "organisation"
    PRICE_ZONE = "price_zone"


_REPORT_MONTH = MONTHLY_SAVINGS.column("report_month")
_ORG, _USER, _VEHICLE, _PRICE_ZONE = (
    ANALYTICS_SESSIONS.column(name) for name in ("org_id", "user_id", "electric_vehicle_id", "price_zone")
)
_PERIOD_COLUMNS = {
    Period.DAY: (ANALYTICS_SESSIONS.column("session_day"), ANALYTICS_SESSIONS.column("report_date")),
    Period.MONTH: (_REPORT_MONTH,),
}
GROUP_COLUMNS = {
    Group.VEHICLE: (_ORG, _USER, _VEHICLE),
    Group.USER: (_ORG, _USER),
    Group.ORGANISATION: (_ORG,),
    Group.PRICE_ZONE: (_ORG, _PRICE_ZONE),
}
_ROW_PER = {
    Period.DAY: "session day and report date",
    Period.MONTH: "month of the report date",
}

_IS_FINAL = Column(
    "is_final",
    "BOOLEAN",
    "Whether every day of the month, and every session day whose sessions are in it, is final; until then it is provisional",
    required=True,
)
_DATA_THROUGH = Column(
    "data_through", STAMP, "The earliest data_through of those days: up to then the API's list is known; null: none was read"
)
_STANDING = {
    Period.DAY: (
        Column("is_final", "BOOLEAN", "Whether the session day is final; until then it is provisional", required=True),
        Column("data_through", STAMP, "The instant up to which the API's list of the session day is known; null: never read"),
    ),
    Period.MONTH: (_IS_FINAL, _DATA_THROUGH),
}

_OWNED_NOW = (
    "A vehicle counts for the owner and price zone that it has in raw.vehicles now; a session for those that are stamped on it"
)
_COVERAGE = {
    Period.DAY: (
        Column(
            "vehicles_due",
            "BIGINT",
            f"Vehicles of the group that existed on the session day; the same in each of its rows. {_OWNED_NOW}",
            "vehicles",
            required=True,
        ),
        Column("vehicles_read", "BIGINT", "Those of which an answer covers the day", "vehicles", required=True),
        Column("read_coverage", "DOUBLE", "vehicles_read over vehicles_due", "ratio"),
    ),
    Period.MONTH: (
        Column(
            "vehicle_days_due",
            "BIGINT",
            f"Derived days of the month on which a vehicle of the group existed, over its vehicles. {_OWNED_NOW}",
            "vehicle-days",
            required=True,
        ),
        Column("vehicle_days_read", "BIGINT", "Those that an answer covers", "vehicle-days", required=True),
        Column("read_coverage", "DOUBLE", "vehicle_days_read over vehicle_days_due", "ratio"),
    ),
}

# Answers are counted for the whole fleet alone.
_LISTED = {
    Period.DAY: tuple(
        Column(column.name, column.type, f"{column.description}; the same in every row of the session day", column.unit)
        for column in map(FLEET_DAILY.column, ("sessions_listed", "sessions_accepted", "listed_coverage"))
    ),
    Period.MONTH: (
        Column(
            "listed_coverage",
            "DOUBLE",
            "Sessions read and typed over those that the API counted; answers for many days weigh on each of them",
            "ratio",
        ),
    ),
}

_WITHOUT_ENERGY = Column("sessions_without_energy", "BIGINT", "Sessions whose energy is not known", "sessions", required=True)
_MONTHS_OWN = (
    Column("days_derived", "BIGINT", "Days of the month that have been derived; all once it is over", "days", required=True),
    Column(
        "sessions_per_active_vehicle_week",
        "DOUBLE",
        "Sessions per active_vehicles and seven of days_derived",
        "sessions",
    ),
)


def _measures(period: Period, group: Group) -> Table:
    grain = (*_PERIOD_COLUMNS[period], *GROUP_COLUMNS[group])
    return Table(
        "analytics",
        f"measures_by_{period}_{group}",
        f"Every measure of a group, per {_ROW_PER[period]} and {group.replace('_', ' ')}. Each ratio stands beside the sums that "
        "it is made of; middles, tails and counts of active vehicles and users cannot be added up.",
        tuple(column.name for column in grain),
        (
            *grain,
            *_STANDING[period],
            *_COVERAGE[period],
            *(_LISTED[period] if group == Group.ORGANISATION else ()),
            *GROUP_MEASURES,
            _WITHOUT_ENERGY,
            *(_MONTHS_OWN if period == Period.MONTH else ()),
        ),
        made_from=("analytics.sessions", "analytics.fleet_daily", "analytics.unread_vehicle_days", "raw.vehicles"),
    )


MEASURES = {(period, group): _measures(period, group) for period in Period for group in Group}

SESSIONS_PER_VEHICLE_WEEK = Table(
    "analytics",
    "sessions_per_vehicle_week",
    "How often a vehicle that is in use is plugged in: per week of the report date and price zone.",
    ("report_week", "org_id", "price_zone"),
    (
        Column("report_week", "DATE", "The Monday of the week", required=True),
        _ORG,
        _PRICE_ZONE,
        Column(
            "is_final",
            "BOOLEAN",
            "Whether every day of the week, and every session day whose sessions are in it, is final; else it is provisional",
            required=True,
        ),
        _DATA_THROUGH,
        Column("sessions", "BIGINT", "Sessions", "sessions", required=True),
        Column("active_vehicles", "BIGINT", "Vehicles with a session", "vehicles", required=True),
        Column("sessions_per_active_vehicle", "DOUBLE", "sessions over active_vehicles", "sessions"),
    ),
    made_from=("analytics.sessions", "analytics.fleet_daily"),
)

SILENT_VEHICLES = Table(
    "analytics",
    "silent_vehicles",
    "Vehicles that are not deleted, have existed for 30 days and of which the API lists no session in the 30 days that end with "
    "the newest day read. Those that the platform is known not to reach are left out.",
    ("electric_vehicle_id",),
    (
        _ORG,
        _USER,
        _VEHICLE,
        RAW_VEHICLES.column("price_zone"),
        RAW_VEHICLES.column("is_authenticated"),
        Column("last_session_day", "DATE", "Session day of its newest session; null: it never had one"),
        Column("newest_day", "DATE", "The newest day of which any vehicle was read", required=True),
        Column("days_silent", "BIGINT", "Days from last_session_day to newest_day; null: it never had a session", "days"),
    ),
    made_from=("raw.vehicles", "raw.sessions", "analytics.fleet_daily"),
)

PLUG_INS_BY_HOUR_OF_WEEK = Table(
    "analytics",
    "plug_ins_by_hour_of_week",
    "When cars are plugged in, by their local clocks: per month of the report date, price zone, weekday and hour.",
    ("report_month", "org_id", "price_zone", "weekday", "hour"),
    (
        _REPORT_MONTH,
        _ORG,
        _PRICE_ZONE,
        Column("weekday", "BIGINT", "Local weekday of plug-in: 1 (Monday) to 7 (Sunday)", required=True),
        Column("hour", "BIGINT", "Local hour of plug-in: 0 to 23; that which a clock change repeats counts twice", required=True),
        _IS_FINAL,
        _DATA_THROUGH,
        Column("sessions", "BIGINT", "Sessions", "sessions", required=True),
        Column("sessions_with_energy", "BIGINT", "Sessions whose energy is known", "sessions", required=True),
        Column("energy_kwh", EXACT, "Energy that they charged; null: none is known", "kWh"),
    ),
    made_from=("analytics.sessions", "analytics.fleet_daily"),
)

MODELLED_LOAD = Table(
    "analytics",
    "modelled_load",
    "Energy by the local hour in which it was probably charged, per month of the report date and price zone. A model: the API "
    "gives no course of the power. Each session's energy is spread evenly from its desired start to its desired end; else from "
    "plug-in over charging_hours; else over the whole stay; where none of these lasts up to seven days, it counts in the hour of "
    "plug-in. The hours of a month sum to its energy exactly.",
    ("report_month", "org_id", "price_zone", "hour"),
    (
        _REPORT_MONTH,
        _ORG,
        _PRICE_ZONE,
        Column(
            "hour",
            "BIGINT",
            "Local hour: 0 to 23. Both passes of an hour that a clock change repeats are in it. Where the clock differs from UTC "
            "by a broken number of hours, the local hour in which the UTC hour begins",
            required=True,
        ),
        _IS_FINAL,
        _DATA_THROUGH,
        Column("modelled_energy_kwh", EXACT, "Energy, as modelled", "kWh", required=True),
        Column("planned_energy_kwh", EXACT, "Of it, that spread from desired start to desired end", "kWh", required=True),
    ),
    made_from=("analytics.sessions", "analytics.fleet_daily"),
)

ALL_VIEWS = (*MEASURES.values(), SESSIONS_PER_VEHICLE_WEEK, SILENT_VEHICLES, PLUG_INS_BY_HOUR_OF_WEEK, MODELLED_LOAD)
