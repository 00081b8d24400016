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
    """A table: `schema.name`, what a row is, the columns that identify it, and the tables that it is made from.

    `cut_by` is the day by whose month readers get the rows in files of their own; None: the table is small, and one file.
    """

    schema: str
    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    made_from: tuple[str, ...] = ()
    cut_by: str | None = None

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
    Column(
        "session_outcome",
        "VARCHAR",
        "How the platform sums the session up; values as the API sends them, with a mark for what is no code",
    ),
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
    Column(
        "version",
        "BIGINT",
        "1 for what was read first, one more at each change of content and each return, in the order of reading",
        required=True,
    ),
    Column("first_seen_at", STAMP, "When it was first read", required=True),
    Column("valid_from", STAMP, "When the read that first showed this version began", required=True),
    Column("fetched_at", STAMP, "When it was last read", required=True),
    Column("run_id", "VARCHAR", "The run that landed the newest read", required=True),
    Column(
        "extra",
        "JSON",
        "Fields that this project does not know, with marks for what may speak of a person; null where there are none",
    ),
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
    cut_by="session_day",
)

RAW_FETCHES = Table(
    "raw",
    "fetches",
    "The ledger: one row per vehicle and window read. Of the good reads of one window the latest stays, and the first of each "
    "UTC day; of failures, all.",
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
    cut_by="last_day",
)

RAW_QUARANTINE = Table(
    "raw",
    "quarantine",
    "One row per record that an error rule keeps out of what is derived, with its payload and every reason. It leaves by itself "
    "once the API mends it or no longer lists it, or, by `ev-sessions requarantine`, once a limit that it broke is changed. "
    "What it was stays: in raw.quarantine_past, or where it stands in raw.sessions too, there and in raw.session_versions.",
    ("electric_vehicle_id", "record_key"),
    (
        *_OWNER,
        Column(
            "record_key",
            "VARCHAR",
            "The record's id, or the MD5 of its payload where it has none (numbered where several are alike)",
            required=True,
        ),
        Column("session_id", "UUID", "The record's id; null where it has none"),
        Column("rules", "VARCHAR[]", "The rules that keep it out, by name", required=True),
        Column(
            "reasons",
            "VARCHAR[]",
            "Why each of these rules does, in their order: the name of the rule, a colon, and a text for people",
            required=True,
        ),
        Column(
            "in_sessions",
            "BOOLEAN",
            "Whether the record stands in raw.sessions too; if not, it could not be typed or lay outside the days asked for",
            required=True,
        ),
        Column("payload", "VARCHAR", "The record as JSON, with marks for texts that may speak of a person", required=True),
        Column(
            "first_day",
            "DATE",
            "First UTC day under which the API may list it: its own, or else of its window",
            required=True,
        ),
        Column(
            "last_day",
            "DATE",
            "Last UTC day under which the API may list it: its own, or else of its window",
            required=True,
        ),
        Column("first_seen_at", STAMP, "When it was first read", required=True),
        Column("fetched_at", STAMP, "When it was last read", required=True),
        Column("run_id", "VARCHAR", "The run that landed the newest read", required=True),
    ),
    made_from=("raw.sessions",),
)

RAW_QUARANTINE_PAST = Table(
    "raw",
    "quarantine_past",
    "Records that could not be typed, or lay outside the days asked for, and that the API has since mended, changed or no longer "
    "lists: as they stood in raw.quarantine. Never deleted.",
    ("electric_vehicle_id", "record_key", "fetched_at"),
    (
        *(column for column in RAW_QUARANTINE.columns if column.name != "in_sessions"),
        Column(
            "left_at",
            STAMP,
            "When the read began that mended it, brought it otherwise or no longer listed it",
            required=True,
        ),
        Column("left_by_run_id", "VARCHAR", "The run that landed that read", required=True),
    ),
    made_from=("raw.quarantine",),
)

RAW_SESSION_VERSIONS = Table(
    "raw",
    "session_versions",
    "Former versions of sessions, and the last version of sessions that the API no longer lists. Never deleted.",
    ("electric_vehicle_id", "id", "fetched_at"),
    (
        *RAW_SESSIONS.columns,
        Column("replaced_at", STAMP, "When the read that ended this version began", required=True),
        Column("replaced_by_run_id", "VARCHAR", "The run that ended it", required=True),
        Column(
            "end_reason",
            "VARCHAR",
            "restated (content changed), vanished (no longer listed), quarantined (now sent in a form that cannot be typed), "
            "superseded (no longer listed, as an answer that had landed before it shows)",
            required=True,
        ),
        Column(
            "changed_fields",
            "VARCHAR[]",
            "The API's fields, or `extra`, in which the next version differs; null: it was not restated, or before schema 3",
        ),
    ),
    made_from=("raw.sessions",),
    cut_by="session_day",
)

RAW_TOUCHED_DAYS = Table(
    "raw",
    "touched_days",
    "Session days whose rows a landing changed, or that `ev-sessions requarantine` asked for, not derived again yet.",
    ("session_day",),
    (
        Column("session_day", "DATE", "The day", required=True),
        Column("touched_at", STAMP, "When the landing changed it, or it was asked for", required=True),
        Column("run_id", "VARCHAR", "The run that landed, or `requarantine`", required=True),
    ),
    made_from=("raw.sessions",),
)

RAW_TOUCHED_MONTHS = Table(
    "raw",
    "touched_months",
    "Months of the report date whose contents changed, or that `ev-sessions requarantine` asked for, not summed up again yet.",
    ("report_month",),
    (
        Column("report_month", "DATE", "The first day of the month", required=True),
        Column("touched_at", STAMP, "When deriving first found a change, or it was asked for", required=True),
        Column("run_id", "VARCHAR", "The run that derived, or `requarantine`", required=True),
    ),
    made_from=("analytics.sessions", "analytics.fleet_daily"),
)

RAW_NOVELTIES = Table(
    "raw",
    "novelties",
    "What the API sent and its documentation does not name: outcomes of sessions, and fields. Each is told once.",
    ("kind", "name"),
    (
        Column("kind", "VARCHAR", "session_outcome or field", required=True),
        Column("name", "VARCHAR", "The value, or the name of the field", required=True),
        Column("session_day", "DATE", "The session day on which it was first found", required=True),
        Column("found_at", STAMP, "When deriving found it", required=True),
        Column("run_id", "VARCHAR", "The run that derived", required=True),
    ),
    made_from=("raw.sessions",),
)

RAW_SETTINGS_HISTORY = Table(
    "raw",
    "settings_history",
    "The settings by which figures are derived: a row whenever they, or the program, changed.",
    ("in_force_from",),
    (
        Column("in_force_from", STAMP, "When a run first derived with them", required=True),
        Column(
            "settings",
            "JSON",
            "REPORT_DATE, and those LIMITS that are not the default, each by its name",
            required=True,
        ),
        Column("program_version", "VARCHAR", "The version of ev-sessions", required=True),
        Column("run_id", "VARCHAR", "The run that derived", required=True),
    ),
)

RAW_RECONCILIATIONS = Table(
    "raw",
    "reconciliations",
    "Our sums of a month, over all of raw.sessions, beside those that the API gives itself, for a vehicle or the whole "
    "organisation, as often as asked.",
    ("report_month", "electric_vehicle_id", "asked_at"),
    (
        _OWNER[0],
        Column("user_id", "UUID", "The customer; null: the whole organisation"),
        Column("electric_vehicle_id", "UUID", "The vehicle; null: the whole organisation"),
        Column("report_month", "DATE", "The first day of the month", required=True),
        Column("asked_at", STAMP, "When the API was asked", required=True),
        Column(
            "outcome",
            "VARCHAR",
            "agrees; edge (may differ only in how a month is cut); differs; unexpected (an answer of unexpected shape); failed",
            required=True,
        ),
        Column("sessions", "BIGINT", "Our count: what the API lists under the month's days", "sessions"),
        Column("api_sessions", "BIGINT", "The API's; null: not given", "sessions"),
        Column("energy_kwh", "DECIMAL(38,6)", "Our energy; null: none is known", "kWh"),
        Column("api_energy_kwh", "DECIMAL(38,6)", "The API's; null: not given", "kWh"),
        Column("savings_eur", "DECIMAL(38,6)", "Our savings; null: none are known", "EUR"),
        Column("api_savings_eur", "DECIMAL(38,6)", "The API's; null: not given", "EUR"),
        Column("cause", "VARCHAR", "The likely cause of a difference, or what was unexpected; null: it agrees"),
        Column("run_id", "VARCHAR", "The run that asked", required=True),
    ),
    made_from=("raw.sessions",),
)

RAW_TABLES = (
    RAW_USERS,
    RAW_VEHICLES,
    RAW_SESSIONS,
    RAW_FETCHES,
    RAW_QUARANTINE,
    RAW_QUARANTINE_PAST,
    RAW_SESSION_VERSIONS,
    RAW_NOVELTIES,
    RAW_SETTINGS_HISTORY,
    RAW_RECONCILIATIONS,
    RAW_TOUCHED_DAYS,
    RAW_TOUCHED_MONTHS,
)

# Sums of money, energy and hours are exact, so that they do not depend on the order of the rows.
EXACT = "DECIMAL(38,6)"

_GRAIN = (
    RAW_SESSIONS.column("session_day"),
    Column("report_date", "DATE", "The local date by which months are cut (setting REPORT_DATE)", required=True),
    *_OWNER,
    RAW_SESSIONS.column("price_zone"),
)
_DERIVED = (
    Column("derived_at", STAMP, "When the row was derived", required=True),
    Column("derived_by_run_id", "VARCHAR", "The run that derived it", required=True),
)

ANALYTICS_SESSIONS = Table(
    "analytics",
    "sessions",
    "One row per session that no error rule keeps out, with the measures of one session. A state of charge that is out of range "
    "is null here (flag soc_out_of_range); raw.sessions has it as it was sent.",
    ("electric_vehicle_id", "id"),
    (
        *_OWNER,
        *SESSION_FIELDS,
        *(RAW_SESSIONS.column(name) for name in ("session_day", "price_zone", "time_zone")),
        _GRAIN[1],
        Column("session_end", STAMP, "unplug_time, else inferred_session_end; null: neither is known"),
        Column("end_source", "VARCHAR", "Where session_end comes from: unplug, inferred or none", required=True),
        Column("plug_in_hours", EXACT, "Elapsed time from plug-in to session_end; null: no end", "h"),
        Column("charging_hours", EXACT, "Energy over mean power; null: either is unknown, or no power", "h"),
        Column("idle_hours", EXACT, "Time plugged in without charging, at least 0; null: either part is unknown", "h"),
        Column("soc_gain_pct", EXACT, "Final minus initial state of charge, signed; null: either is unknown", "pp"),
        Column("implied_capacity_kwh", "DOUBLE", "Battery size that energy and gain imply; null: gain below 10 pp", "kWh"),
        Column("target_met", "BOOLEAN", "Final state of charge at most 1 pp below the target; null: either is unknown"),
        Column(
            "deadline_outcome",
            "VARCHAR",
            "not_applicable (no deadline); met (the target was met); left_early (not met, ended before the deadline); "
            "missed (not met, ended later); unknown (no target, no final state, or not met and no end)",
            required=True,
        ),
        Column(
            "counterfactual_cost_eur",
            EXACT,
            "Cost plus savings: what the energy would have cost unsteered. A claim of the platform, not verified; "
            "null: either is unknown",
            "EUR",
        ),
        Column(
            "savings_rate", "DOUBLE", "Savings over counterfactual cost, signed; null: that is unknown or not above 0", "ratio"
        ),
        Column("forecast_error_eur", EXACT, "Actual minus expected savings, signed; null: either is unknown", "EUR"),
        Column("flags", "VARCHAR[]", "Its warnings, by the names of their rules; empty: none", required=True),
        *(RAW_SESSIONS.column(name) for name in ("version", "first_seen_at", "fetched_at", "run_id")),
        *_DERIVED,
    ),
    made_from=("raw.sessions", "raw.quarantine"),
    cut_by="session_day",
)

_ENERGY_MEASURES = (
    Column("sessions", "BIGINT", "Sessions", "sessions", required=True),
    Column("sessions_with_energy", "BIGINT", "Sessions whose energy is known", "sessions", required=True),
    Column("energy_kwh", EXACT, "Energy charged; null: none is known", "kWh"),
    Column("flagged_sessions", "BIGINT", "Sessions with a warning", "sessions", required=True),
    Column("flagged_share", "DOUBLE", "flagged_sessions over sessions", "ratio"),
    Column("sessions_with_end", "BIGINT", "Sessions whose end is known", "sessions", required=True),
    Column("plug_in_hours", EXACT, "Time plugged in; null: no end is known", "h"),
    Column("charging_hours", EXACT, "Time charging; null: none is known", "h"),
    Column("idle_hours", EXACT, "Time plugged in without charging; null: none is known", "h"),
    Column("sessions_with_idle", "BIGINT", "Sessions whose idle time is known", "sessions", required=True),
    Column("plug_in_with_idle_hours", EXACT, "Time plugged in of the sessions whose idle time is known", "h"),
    Column("flexibility_ratio", "DOUBLE", "idle_hours over plug_in_with_idle_hours", "ratio"),
    Column("flexibility_coverage", "DOUBLE", "sessions_with_idle over sessions", "ratio"),
    Column("at_home_sessions", "BIGINT", "Sessions at home", "sessions", required=True),
    Column("away_sessions", "BIGINT", "Sessions elsewhere", "sessions", required=True),
    Column("unknown_place_sessions", "BIGINT", "Sessions of which the place is not known", "sessions", required=True),
    Column("at_home_energy_kwh", EXACT, "Energy charged at home", "kWh"),
    Column("away_energy_kwh", EXACT, "Energy charged elsewhere", "kWh"),
    Column("unknown_place_energy_kwh", EXACT, "Energy of the sessions of which the place is not known", "kWh"),
    Column("at_home_share", "DOUBLE", "at_home_sessions over those whose place is known", "ratio"),
    Column("at_home_coverage", "DOUBLE", "Sessions whose place is known over sessions", "ratio"),
    Column("at_home_energy_share", "DOUBLE", "at_home_energy_kwh over the energy whose place is known", "ratio"),
    Column("at_home_energy_coverage", "DOUBLE", "Energy whose place is known over energy_kwh", "ratio"),
    Column("peak_charge_power_kw", DECIMAL, "Highest power of any session", "kW"),
    Column("sessions_with_soc", "BIGINT", "Sessions whose gain in state of charge is known", "sessions", required=True),
    Column("mean_soc_gain_pct", "DOUBLE", "Mean gain in state of charge of sessions_with_soc, signed", "pp"),
    Column("soc_coverage", "DOUBLE", "sessions_with_soc over sessions", "ratio"),
)

_SAVINGS_MEASURES = (
    Column("sessions_with_cost", "BIGINT", "Sessions whose cost is known", "sessions", required=True),
    Column("cost_eur", EXACT, "What the energy cost; null: no cost is known", "EUR"),
    Column("sessions_with_savings", "BIGINT", "Sessions whose savings are known", "sessions", required=True),
    Column("savings_eur", EXACT, "Savings against charging at once, as the platform claims; signed, never clipped", "EUR"),
    Column("negative_savings_sessions", "BIGINT", "Sessions whose savings are below 0", "sessions", required=True),
    Column("negative_savings_eur", EXACT, "Sum of the savings below 0; null: no savings are known", "EUR"),
    Column("expected_savings_eur", EXACT, "Savings that the platform forecast, signed; null: none is known", "EUR"),
    Column("sessions_with_counterfactual", "BIGINT", "Sessions with both cost and savings", "sessions", required=True),
    Column("counterfactual_eur", EXACT, "Cost plus savings of the sessions with both; a claim of the platform", "EUR"),
    Column("savings_with_cost_eur", EXACT, "Savings of the sessions with both", "EUR"),
    Column("savings_rate", "DOUBLE", "savings_with_cost_eur over counterfactual_eur; null: that is not above 0", "ratio"),
    Column("savings_rate_coverage", "DOUBLE", "sessions_with_counterfactual over sessions", "ratio"),
    Column("savings_with_energy_eur", EXACT, "Savings of the sessions with both savings and energy", "EUR"),
    Column("energy_with_savings_kwh", EXACT, "Energy of the sessions with both savings and energy", "kWh"),
    Column("savings_per_kwh", "DOUBLE", "savings_with_energy_eur over energy_with_savings_kwh", "EUR/kWh"),
    Column("savings_coverage", "DOUBLE", "energy_with_savings_kwh over the energy of all sessions", "ratio"),
    Column("cost_with_energy_eur", EXACT, "Cost of the sessions with both cost and energy", "EUR"),
    Column("energy_with_cost_kwh", EXACT, "Energy of the sessions with both cost and energy", "kWh"),
    Column("cost_per_kwh", "DOUBLE", "cost_with_energy_eur over energy_with_cost_kwh", "EUR/kWh"),
    Column("cost_coverage", "DOUBLE", "energy_with_cost_kwh over the energy of all sessions", "ratio"),
    Column("sessions_with_forecast", "BIGINT", "Sessions with both expected and actual savings", "sessions", required=True),
    Column("expected_with_savings_eur", EXACT, "Expected savings of the sessions with both", "EUR"),
    Column("savings_with_expected_eur", EXACT, "Actual savings of the sessions with both", "EUR"),
    Column("forecast_bias_eur", EXACT, "Sum of actual minus expected savings, signed", "EUR"),
    Column("absolute_forecast_error_eur", EXACT, "Sum of the distances between actual and expected savings", "EUR"),
    Column("forecast_mae_eur", "DOUBLE", "absolute_forecast_error_eur over sessions_with_forecast", "EUR"),
    Column(
        "forecast_realisation",
        "DOUBLE",
        "savings_with_expected_eur over expected_with_savings_eur; null: that is not above 0",
        "ratio",
    ),
    Column("forecast_coverage", "DOUBLE", "sessions_with_forecast over sessions", "ratio"),
)

_SPREAD_MEASURES = (
    Column("mean_energy_kwh", "DOUBLE", "Mean energy of sessions_with_energy", "kWh"),
    Column("median_energy_kwh", "DOUBLE", "Median energy of sessions_with_energy", "kWh"),
    Column("p95_energy_kwh", "DOUBLE", "95th percentile of the energy of sessions_with_energy", "kWh"),
    Column("mean_plug_in_hours", "DOUBLE", "Mean time plugged in of sessions_with_end", "h"),
    Column("median_plug_in_hours", "DOUBLE", "Median time plugged in of sessions_with_end", "h"),
    Column("p95_plug_in_hours", "DOUBLE", "95th percentile of the time plugged in of sessions_with_end", "h"),
    Column("deadlines_met", "BIGINT", "Sessions with a deadline that met their target", "sessions", required=True),
    Column("deadlines_missed", "BIGINT", "Sessions that did not, although they lasted to it", "sessions", required=True),
    Column("deadlines_left_early", "BIGINT", "Sessions that did not, and ended before it", "sessions", required=True),
    Column("deadlines_unknown", "BIGINT", "Sessions of which it cannot be told", "sessions", required=True),
    Column("deadline_met_ratio", "DOUBLE", "deadlines_met over deadlines_met and deadlines_missed", "ratio"),
    Column("deadline_coverage", "DOUBLE", "Met and missed over all sessions with a deadline", "ratio"),
    Column(
        "sessions_by_outcome",
        "MAP(VARCHAR, BIGINT)",
        "Sessions per session_outcome, values as the API sends them; those without one are not in it",
        "sessions",
        required=True,
    ),
    Column("sessions_without_outcome", "BIGINT", "Sessions without a session_outcome", "sessions", required=True),
)

# What there is to say of any group of sessions; how it is computed stands in warehouse/models/measures.sql.
GROUP_MEASURES = (
    Column("active_vehicles", "BIGINT", "Vehicles with a session", "vehicles", required=True),
    Column("active_users", "BIGINT", "Customers with a session", "users", required=True),
    *_ENERGY_MEASURES,
    *_SAVINGS_MEASURES,
    *_SPREAD_MEASURES,
)

DAILY_ENERGY = Table(
    "analytics",
    "daily_energy",
    "Energy, time plugged in and place per session day, report date and vehicle (with its owner and zone). "
    "Each ratio stands beside the sums that it is made of: a coarser group adds those up and divides.",
    tuple(column.name for column in _GRAIN),
    (*_GRAIN, *_ENERGY_MEASURES, *_DERIVED),
    made_from=("analytics.sessions",),
    cut_by="session_day",
)

DAILY_SAVINGS = Table(
    "analytics",
    "daily_savings",
    "Cost, savings and forecast per session day, report date and vehicle (with its owner and zone). "
    "Each ratio stands beside the sums that it is made of: a coarser group adds those up and divides.",
    tuple(column.name for column in _GRAIN),
    (*_GRAIN, *_ENERGY_MEASURES[:3], *_SAVINGS_MEASURES, *_DERIVED),
    made_from=("analytics.sessions",),
    cut_by="session_day",
)

FLEET_DAILY = Table(
    "analytics",
    "fleet_daily",
    "One row per session day, also for a day without sessions: the whole fleet's measures and how far they cover it.",
    ("session_day",),
    (
        RAW_SESSIONS.column("session_day"),
        Column(
            "is_final",
            "BOOLEAN",
            "Whether every vehicle due was read completely, or is gone, at least LOOKBACK_DAYS after the day's end; "
            "until then every figure of the day is provisional",
            required=True,
        ),
        Column(
            "final_since",
            STAMP,
            "When the last of the vehicles' first complete reads began that are late enough to be final; "
            "null: a vehicle due has none, or none was due",
        ),
        Column(
            "changed_after_final",
            "BIGINT",
            "Sessions of the day that appeared, were restated, vanished or moved after final_since; null where that is null",
            "sessions",
        ),
        Column("vehicles_due", "BIGINT", "Vehicles that existed on the day and so were to be read", "vehicles", required=True),
        Column("vehicles_read", "BIGINT", "Vehicles due whose newest answer covers the day", "vehicles", required=True),
        Column(
            "vehicles_failed", "BIGINT", "Vehicles due that were tried and never answered for the day", "vehicles", required=True
        ),
        Column(
            "vehicles_read_early",
            "BIGINT",
            "Vehicles due that were tried, but last before the day could be final: LOOKBACK_DAYS after its end",
            "vehicles",
            required=True,
        ),
        Column("read_coverage", "DOUBLE", "vehicles_read over vehicles_due", "ratio"),
        Column(
            "data_through",
            STAMP,
            "The instant up to which the day's figures know what the API listed: the oldest of the answers they stand on; "
            "null: there is none",
        ),
        Column(
            "sessions_maturity",
            "DOUBLE",
            "Of a provisional day, the share of their sessions that the final days of the 8 weeks before it had when they were "
            "as old as this one was at data_through; null: the day is final, or no such day was read at that age",
            "ratio",
        ),
        Column("energy_maturity", "DOUBLE", "The same share of their energy", "ratio"),
        Column("first_report_date", "DATE", "The earliest report date of the day's sessions; null: there are none"),
        Column("last_report_date", "DATE", "The latest one"),
        Column(
            "sessions_listed",
            "BIGINT",
            "Sessions that the API counted in those answers' windows, which may hold other days too",
            "sessions",
        ),
        Column("sessions_accepted", "BIGINT", "Sessions that were read and typed out of sessions_listed", "sessions"),
        Column("listed_coverage", "DOUBLE", "sessions_accepted over sessions_listed", "ratio"),
        Column(
            "quarantined",
            "BIGINT",
            "Records kept out. A record that is not in raw.sessions counts on the UTC date of its plug_in_time where that "
            "lies in the window it came from, else on the window's first day",
            "records",
            required=True,
        ),
        *GROUP_MEASURES,
        *_DERIVED,
    ),
    made_from=(
        "analytics.sessions",
        "raw.fetches",
        "raw.vehicles",
        "raw.quarantine",
    ),
    cut_by="session_day",
)

RULE_HITS = Table(
    "analytics",
    "rule_hits",
    "How often each quality rule was broken per session day; days on which a rule was not broken are left out.",
    ("session_day", "rule"),
    (
        RAW_SESSIONS.column("session_day"),
        Column("rule", "VARCHAR", "The rule's name; what it means stands on the page of the quality rules", required=True),
        Column(
            "family",
            "VARCHAR",
            "What the rule is about: identity, time, energy, state_of_charge, money, sequence or volume",
            required=True,
        ),
        Column("severity", "VARCHAR", "error (kept out), warn (flagged) or info (counted)", required=True),
        Column(
            "hits",
            "BIGINT",
            "Sessions or records that break it (a warning or info: of those that stay); of a rule on days 1",
            required=True,
        ),
        *_DERIVED,
    ),
    made_from=("analytics.sessions", "raw.quarantine"),
    cut_by="session_day",
)

UNREAD_VEHICLE_DAYS = Table(
    "analytics",
    "unread_vehicle_days",
    "What the figures do not cover: one row per session day and vehicle that was due on it and of which no answer covers the "
    "day. Where all was read there are none.",
    ("session_day", "electric_vehicle_id"),
    (
        RAW_SESSIONS.column("session_day"),
        RAW_VEHICLES.column("org_id"),
        Column("user_id", "UUID", "The customer who owned the vehicle when the day was derived", required=True),
        RAW_VEHICLES.column("electric_vehicle_id"),
        Column("price_zone", "VARCHAR", "The vehicle's price zone when the day was derived"),
        Column(
            "last_outcome",
            "VARCHAR",
            "What came of the last try to read the day: failed, or held (lost too many rows at once, waits for confirmation); "
            "null: it was never tried",
        ),
        *_DERIVED,
    ),
    made_from=("raw.fetches", "raw.vehicles"),
    cut_by="session_day",
)

MONTHLY_SAVINGS = Table(
    "analytics",
    "monthly_savings",
    "Cost, savings and forecast per customer and month of the report date. A session may belong to another month by its session "
    "day. Each ratio stands beside the sums that it is made of.",
    ("report_month", "org_id", "user_id"),
    (
        Column("report_month", "DATE", "The first day of the month", required=True),
        *_OWNER[:2],
        Column(
            "is_final",
            "BOOLEAN",
            "Whether every day of the month, and every session day whose sessions are in it, is final; "
            "until then every figure of the month is provisional",
            required=True,
        ),
        Column(
            "data_through",
            STAMP,
            "The instant up to which the month's figures know what the API listed: the earliest data_through of those days "
            "when the row was derived; null: no answer covers any of them",
        ),
        Column("vehicles", "BIGINT", "Vehicles with a session", "vehicles", required=True),
        *_ENERGY_MEASURES[:3],
        *_SAVINGS_MEASURES,
        *_DERIVED,
    ),
    made_from=("analytics.sessions", "analytics.fleet_daily"),
    cut_by="report_month",
)

# Those that are derived together, whole session days at a time.
DAILY_TABLES = (ANALYTICS_SESSIONS, DAILY_ENERGY, DAILY_SAVINGS, RULE_HITS, UNREAD_VEHICLE_DAYS, FLEET_DAILY)
ANALYTICS_TABLES = (*DAILY_TABLES, MONTHLY_SAVINGS)
ALL_TABLES = RAW_TABLES + ANALYTICS_TABLES

# What readers get: all but the notes of the writer to itself.
PUBLISHED_TABLES = tuple(table for table in ALL_TABLES if table not in (RAW_TOUCHED_DAYS, RAW_TOUCHED_MONTHS))
