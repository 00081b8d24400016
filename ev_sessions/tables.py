"""One declaration per table: its columns, types, units, descriptions and key.

From these come the DDL, the stage's Arrow schemas, Dagster's column schemas, the checks that every table has, and the data
dictionary page. Types are DuckDB's names. A column is nullable unless it says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

DECIMAL = "DECIMAL(18,6)"
STAMP = "TIMESTAMPTZ"


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `unit` is None where the type says it all; stamps are UTC."""

    name: str
    type: str
    description: str
    unit: str | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table: `schema.name`, what a row is, the columns that identify it, and the tables that it is made from."""

    schema: str
    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    made_from: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """`schema.name`."""
        return f"{self.schema}.{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """The column called `name`; KeyError where there is none."""
        return {column.name: column for column in self.columns}[name]


# The API's eighteen session fields, under its own names. Only `id` and `plug_in_time` are promised.
SESSION_FIELDS = (
    Column("id", "UUID", "The session, as the API names it", required=True),
    Column("plug_in_time", STAMP, "When the car was plugged in", required=True),
    Column("unplug_time", STAMP, "When the car was unplugged"),
    Column("inferred_session_end", STAMP, "The end that the platform infers where no unplugging was seen"),
    Column("desired_charging_start_time", STAMP, "Start of the charging that the platform planned"),
    Column("desired_charging_end_time", STAMP, "End of the charging that the platform planned"),
    Column("charge_deadline", STAMP, "When the driver wanted the car charged"),
    Column("target_soc_pct", DECIMAL, "State of charge that the driver asked for", "%"),
    Column("initial_soc_pct", DECIMAL, "State of charge at plug-in", "%"),
    Column("final_soc_pct", DECIMAL, "State of charge at the end", "%"),
    Column("energy_charged_kwh", DECIMAL, "Energy charged", "kWh"),
    Column("avg_charge_power_kw", DECIMAL, "Mean power while charging", "kW"),
    Column("peak_charge_power_kw", DECIMAL, "Highest power", "kW"),
    Column("actual_cost_eur", DECIMAL, "What the energy cost; the currency of the price zone may differ", "EUR"),
    Column("expected_savings_eur", DECIMAL, "Savings that the platform forecast, signed", "EUR"),
    Column("actual_savings_eur", DECIMAL, "Savings against charging at once, as the platform claims; signed", "EUR"),
    Column("is_at_home", "BOOLEAN", "Whether the car was at home"),
    Column("session_outcome", "VARCHAR", "How the platform sums the session up; values as the API sends them"),
)

_OWNER = (
    Column("org_id", "UUID", "The organisation (supplier)", required=True),
    Column("user_id", "UUID", "The customer who owned the vehicle when it was read", required=True),
    Column("electric_vehicle_id", "UUID", "The vehicle", required=True),
)
_SEEN = (
    Column("first_seen_at", STAMP, "When a snapshot first listed it", required=True),
    Column("last_seen_at", STAMP, "When a snapshot last listed it", required=True),
    Column("missing_since", STAMP, "When a snapshot first no longer listed it; null while it is listed"),
    Column("run_id", "VARCHAR", "The run that wrote the row", required=True),
)
_SESSION_BOOKKEEPING = (
    Column("session_day", "DATE", "The UTC day under which the API lists the session (setting SESSION_DAY)", required=True),
    Column("price_zone", "VARCHAR", "The vehicle's price zone when the session first landed"),
    Column(
        "time_zone",
        "VARCHAR",
        "The time zone that goes with it, stamped at the first landing (IANA name)",
        required=True,
    ),
    Column("content_hash", "VARCHAR", "MD5 over the API's fields as stored, to tell a restatement", required=True),
    Column("version", "BIGINT", "1 at the first landing, one more at each change of content", required=True),
    Column("first_seen_at", STAMP, "When it was first read", required=True),
    Column("fetched_at", STAMP, "When it was last read", required=True),
    Column("run_id", "VARCHAR", "The run that landed the newest read", required=True),
    Column("extra", "JSON", "Fields that this project does not know, as the API sent them; null where there are none"),
)

RAW_USERS = Table(
    "raw",
    "users",
    "One row per customer that a fleet snapshot ever listed. Names and addresses are not stored.",
    ("user_id",),
    (
        *_OWNER[:2],
        Column("external_user_id", "VARCHAR", "The supplier's own customer number, the join key for payouts"),
        Column("role", "VARCHAR", "admin, staff or user, as the API sends it"),
        Column("country_iso2", "VARCHAR", "Country, as the API sends it"),
        Column("deleted_at", STAMP, "When the customer was deleted, where the API says so"),
        *_SEEN,
    ),
)

RAW_VEHICLES = Table(
    "raw",
    "vehicles",
    "One row per vehicle that a fleet snapshot ever listed.",
    ("electric_vehicle_id",),
    (
        *_OWNER,
        Column("manufacturer", "VARCHAR", "Maker of the car"),
        Column("model", "VARCHAR", "Model of the car"),
        Column("model_year", "BIGINT", "Model year", "year"),
        Column("battery_capacity_kwh", DECIMAL, "Size of the battery", "kWh"),
        Column("price_zone", "VARCHAR", "Electricity price zone"),
        Column("lifecycle_state", "VARCHAR", "State of the device, as the API sends it"),
        Column("is_authenticated", "BOOLEAN", "Whether the platform can reach the car"),
        Column("is_smart_optimization_active", "BOOLEAN", "Whether the platform steers its charging"),
        Column("created_at", STAMP, "When the device was added"),
        Column("updated_at", STAMP, "When the device was last changed"),
        Column("deleted_at", STAMP, "When the device was deleted; null while it exists"),
        *_SEEN,
    ),
    made_from=("raw.users",),
)

RAW_SESSIONS = Table(
    "raw",
    "sessions",
    "One row per charging session that the API lists: its eighteen fields as they are, and where they came from.",
    ("electric_vehicle_id", "id"),
    (*_OWNER, *SESSION_FIELDS, *_SESSION_BOOKKEEPING),
    made_from=("raw.vehicles",),
)

RAW_FETCHES = Table(
    "raw",
    "fetches",
    "The ledger: one row per vehicle and window, the latest read of each, and every failure.",
    ("electric_vehicle_id", "first_day", "last_day", "fetched_at"),
    (
        *_OWNER,
        Column("first_day", "DATE", "First UTC day asked for", required=True),
        Column("last_day", "DATE", "Last UTC day asked for", required=True),
        Column(
            "outcome",
            "VARCHAR",
            "complete; count_mismatch (rows differ from the API's total, the same on three reads); gone (403, 404 or 410); "
            "held (lost too many rows at once, waits for confirmation); failed",
            required=True,
        ),
        Column("reported_total", "BIGINT", "The API's own count for the window", "sessions"),
        Column("accepted_rows", "BIGINT", "Distinct sessions that were read and typed", "sessions", required=True),
        Column("rejected_rows", "BIGINT", "Records that went to quarantine", "records", required=True),
        Column(
            "outside_rows",
            "BIGINT",
            "Sessions left to another day's window (only with SESSION_DAY=overlap)",
            required=True,
        ),
        Column("requests", "BIGINT", "Requests that the read took, retries included", "requests", required=True),
        Column("pages", "BIGINT", "Pages that were read", "pages", required=True),
        Column("retries", "BIGINT", "Requests that were asked again", "requests", required=True),
        Column("reads", "BIGINT", "How often the whole window was read until it held together", required=True),
        Column("error", "VARCHAR", "Why it failed, in one line; null otherwise"),
        Column("fetched_at", STAMP, "When the read began", required=True),
        Column("landed_at", STAMP, "When it was landed", required=True),
        Column("run_id", "VARCHAR", "The run that landed it", required=True),
    ),
    made_from=("raw.vehicles",),
)

RAW_QUARANTINE = Table(
    "raw",
    "quarantine",
    "One row per record that cannot be used, with its payload and every reason. It leaves by itself once the API mends it.",
    ("electric_vehicle_id", "record_key"),
    (
        *_OWNER,
        Column("record_key", "VARCHAR", "The record's id, or the MD5 of its payload where it has none", required=True),
        Column("reasons", "VARCHAR[]", "Why it cannot be used; each begins with the name of the rule", required=True),
        Column("payload", "VARCHAR", "The record as the API sent it", required=True),
        Column("first_day", "DATE", "First UTC day of the window that it came from", required=True),
        Column("last_day", "DATE", "Last UTC day of the window that it came from", required=True),
        Column("first_seen_at", STAMP, "When it was first read", required=True),
        Column("fetched_at", STAMP, "When it was last read", required=True),
        Column("run_id", "VARCHAR", "The run that landed the newest read", required=True),
    ),
    made_from=("raw.sessions",),
)

RAW_SESSION_VERSIONS = Table(
    "raw",
    "session_versions",
    "Former versions of sessions, and the last version of sessions that the API no longer lists. Never deleted.",
    ("electric_vehicle_id", "id", "replaced_at"),
    (
        *RAW_SESSIONS.columns,
        Column("replaced_at", STAMP, "When the read that ended this version began", required=True),
        Column("replaced_by_run_id", "VARCHAR", "The run that ended it", required=True),
        Column(
            "end_reason",
            "VARCHAR",
            "restated (content changed), vanished (no longer listed), quarantined (now sent in a form that cannot be typed), "
            "superseded (seen in an answer that landed after a newer one)",
            required=True,
        ),
    ),
    made_from=("raw.sessions",),
)

RAW_TOUCHED_DAYS = Table(
    "raw",
    "touched_days",
    "Session days whose rows a landing changed and that are not derived again yet.",
    ("session_day",),
    (
        Column("session_day", "DATE", "The day", required=True),
        Column("touched_at", STAMP, "When the landing changed it", required=True),
        Column("run_id", "VARCHAR", "The run that landed", required=True),
    ),
    made_from=("raw.sessions",),
)

RAW_TABLES = (
    RAW_USERS,
    RAW_VEHICLES,
    RAW_SESSIONS,
    RAW_FETCHES,
    RAW_QUARANTINE,
    RAW_SESSION_VERSIONS,
    RAW_TOUCHED_DAYS,
)
