-- Schema 3: quality rules, versions with their fields, reconciliation. The tables are written out as they were then, and stay so.
-- Every day is derived again by the next runs, since no rule has judged it yet; the figures stand as they were until then.
-- What the API sends is kept since without what may speak of a person. What is stored already loses all its texts here: which of
-- them are harmless is known to the client alone. A session whose texts change so looks restated when it is read next.
-- A name is followed by a colon, a value by something else. Of neighbours in a list the second pass finds each other one.
CREATE OR REPLACE TEMP MACRO without_some_texts(json) AS
    regexp_replace(json, '([:\[,]\s*)"(?:[^"\\]|\\.)*"(\s*[,\]}])', concat('\1', chr(1), '\2'), 'g');

CREATE OR REPLACE TEMP MACRO without_texts(json) AS
    replace(without_some_texts(without_some_texts(json)), chr(1), '"(text)"');

CREATE OR REPLACE TEMP MACRO code_or_mark(outcome) AS
    CASE
        WHEN regexp_full_match(outcome, '[a-z][a-z0-9]*([_-][a-z0-9]+)*|[A-Z][A-Z0-9]*([_-][A-Z0-9]+)*') THEN outcome
        ELSE '(text, ' || length(outcome) || ' characters)'
    END;

CREATE TABLE raw.novelties (
    kind VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    session_day DATE NOT NULL,
    found_at TIMESTAMPTZ NOT NULL,
    run_id VARCHAR NOT NULL
);

CREATE TABLE raw.settings_history (
    in_force_from TIMESTAMPTZ NOT NULL,
    settings JSON NOT NULL,
    program_version VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL
);

CREATE TABLE raw.reconciliations (
    org_id UUID NOT NULL,
    user_id UUID,
    electric_vehicle_id UUID,
    report_month DATE NOT NULL,
    asked_at TIMESTAMPTZ NOT NULL,
    outcome VARCHAR NOT NULL,
    sessions BIGINT,
    api_sessions BIGINT,
    energy_kwh DECIMAL(38,6),
    api_energy_kwh DECIMAL(38,6),
    savings_eur DECIMAL(38,6),
    api_savings_eur DECIMAL(38,6),
    cause VARCHAR,
    run_id VARCHAR NOT NULL
);

CREATE TABLE analytics.rule_hits (
    session_day DATE NOT NULL,
    rule VARCHAR NOT NULL,
    family VARCHAR NOT NULL,
    severity VARCHAR NOT NULL,
    hits BIGINT NOT NULL,
    derived_at TIMESTAMPTZ NOT NULL,
    derived_by_run_id VARCHAR NOT NULL
);

CREATE TABLE analytics.unread_vehicle_days (
    session_day DATE NOT NULL,
    org_id UUID NOT NULL,
    user_id UUID NOT NULL,
    electric_vehicle_id UUID NOT NULL,
    price_zone VARCHAR,
    last_outcome VARCHAR,
    derived_at TIMESTAMPTZ NOT NULL,
    derived_by_run_id VARCHAR NOT NULL
);

-- A version began when the one before it ended. When one that had vanished came back is not known: the earliest it can be.
CREATE TEMP TABLE former_versions AS
SELECT electric_vehicle_id, id, version, max(replaced_at) AS replaced_at
FROM raw.session_versions
GROUP BY ALL;

ALTER TABLE raw.sessions RENAME TO sessions_2;

CREATE TABLE raw.sessions (
    org_id UUID NOT NULL,
    user_id UUID NOT NULL,
    electric_vehicle_id UUID NOT NULL,
    id UUID NOT NULL,
    plug_in_time TIMESTAMPTZ NOT NULL,
    unplug_time TIMESTAMPTZ,
    inferred_session_end TIMESTAMPTZ,
    desired_charging_start_time TIMESTAMPTZ,
    desired_charging_end_time TIMESTAMPTZ,
    charge_deadline TIMESTAMPTZ,
    target_soc_pct DECIMAL(18,6),
    initial_soc_pct DECIMAL(18,6),
    final_soc_pct DECIMAL(18,6),
    energy_charged_kwh DECIMAL(18,6),
    avg_charge_power_kw DECIMAL(18,6),
    peak_charge_power_kw DECIMAL(18,6),
    actual_cost_eur DECIMAL(18,6),
    expected_savings_eur DECIMAL(18,6),
    actual_savings_eur DECIMAL(18,6),
    is_at_home BOOLEAN,
    session_outcome VARCHAR,
    session_day DATE NOT NULL,
    price_zone VARCHAR,
    time_zone VARCHAR NOT NULL,
    content_hash VARCHAR NOT NULL,
    version BIGINT NOT NULL,
    first_seen_at TIMESTAMPTZ NOT NULL,
    valid_from TIMESTAMPTZ NOT NULL,
    fetched_at TIMESTAMPTZ NOT NULL,
    run_id VARCHAR NOT NULL,
    extra JSON
);

INSERT INTO raw.sessions BY NAME
SELECT
    session.* REPLACE (code_or_mark(session_outcome) AS session_outcome, without_texts(extra::VARCHAR)::JSON AS extra),
    if(former.replaced_at IS NULL, session.first_seen_at, least(former.replaced_at, session.fetched_at)) AS valid_from
FROM raw.sessions_2 AS session
LEFT JOIN former_versions AS former
    ON former.electric_vehicle_id = session.electric_vehicle_id
    AND former.id = session.id
    AND former.version = session.version - 1
ORDER BY session_day;

DROP TABLE raw.sessions_2;

ALTER TABLE raw.session_versions RENAME TO session_versions_2;

CREATE TABLE raw.session_versions (
    org_id UUID NOT NULL,
    user_id UUID NOT NULL,
    electric_vehicle_id UUID NOT NULL,
    id UUID NOT NULL,
    plug_in_time TIMESTAMPTZ NOT NULL,
    unplug_time TIMESTAMPTZ,
    inferred_session_end TIMESTAMPTZ,
    desired_charging_start_time TIMESTAMPTZ,
    desired_charging_end_time TIMESTAMPTZ,
    charge_deadline TIMESTAMPTZ,
    target_soc_pct DECIMAL(18,6),
    initial_soc_pct DECIMAL(18,6),
    final_soc_pct DECIMAL(18,6),
    energy_charged_kwh DECIMAL(18,6),
    avg_charge_power_kw DECIMAL(18,6),
    peak_charge_power_kw DECIMAL(18,6),
    actual_cost_eur DECIMAL(18,6),
    expected_savings_eur DECIMAL(18,6),
    actual_savings_eur DECIMAL(18,6),
    is_at_home BOOLEAN,
    session_outcome VARCHAR,
    session_day DATE NOT NULL,
    price_zone VARCHAR,
    time_zone VARCHAR NOT NULL,
    content_hash VARCHAR NOT NULL,
    version BIGINT NOT NULL,
    first_seen_at TIMESTAMPTZ NOT NULL,
    valid_from TIMESTAMPTZ NOT NULL,
    fetched_at TIMESTAMPTZ NOT NULL,
    run_id VARCHAR NOT NULL,
    extra JSON,
    replaced_at TIMESTAMPTZ NOT NULL,
    replaced_by_run_id VARCHAR NOT NULL,
    end_reason VARCHAR NOT NULL,
    changed_fields VARCHAR[]
);

INSERT INTO raw.session_versions BY NAME
SELECT
    session.* REPLACE (code_or_mark(session_outcome) AS session_outcome, without_texts(extra::VARCHAR)::JSON AS extra),
    if(former.replaced_at IS NULL, session.first_seen_at, least(former.replaced_at, session.fetched_at)) AS valid_from,
    NULL AS changed_fields
FROM raw.session_versions_2 AS session
LEFT JOIN former_versions AS former
    ON former.electric_vehicle_id = session.electric_vehicle_id
    AND former.id = session.id
    AND former.version = session.version - 1
ORDER BY session_day;

DROP TABLE raw.session_versions_2;

DROP TABLE former_versions;

ALTER TABLE raw.quarantine RENAME TO quarantine_2;

CREATE TABLE raw.quarantine (
    org_id UUID NOT NULL,
    user_id UUID NOT NULL,
    electric_vehicle_id UUID NOT NULL,
    record_key VARCHAR NOT NULL,
    session_id UUID,
    rules VARCHAR[] NOT NULL,
    reasons VARCHAR[] NOT NULL,
    in_sessions BOOLEAN NOT NULL,
    payload VARCHAR NOT NULL,
    first_day DATE NOT NULL,
    last_day DATE NOT NULL,
    first_seen_at TIMESTAMPTZ NOT NULL,
    fetched_at TIMESTAMPTZ NOT NULL,
    run_id VARCHAR NOT NULL
);

-- A reason began with the name of a check.
CREATE OR REPLACE TEMP MACRO rule_of(reason) AS
    CASE split_part(reason, ':', 1)
        WHEN 'well_formed' THEN 'malformed'
        WHEN 'within_window' THEN 'outside_window'
        WHEN 'key_unique' THEN 'id_of_two_vehicles'
        ELSE split_part(reason, ':', 1)
    END;

INSERT INTO raw.quarantine BY NAME
SELECT
    former.* REPLACE (
        list_transform(reasons, lambda reason: rule_of(reason) || substr(reason, strpos(reason, ':'))) AS reasons,
        if(regexp_matches(payload, '^\s*[\[{]'), without_texts(payload), '"(text)"') AS payload,
        -- A row that had moved left its entry where it was.
        coalesce(session.session_day, first_day) AS first_day,
        coalesce(session.session_day, last_day) AS last_day
    ),
    list_transform(former.reasons, lambda reason: rule_of(reason)) AS rules,
    former.reasons[1] LIKE 'key_unique:%' AS in_sessions
FROM (
    -- The hash of a payload, which has no hyphens, could be taken for an id too.
    SELECT *, CASE WHEN record_key LIKE '%-%-%-%-%' THEN try_cast(record_key AS UUID) END AS session_id
    FROM raw.quarantine_2
) AS former
LEFT JOIN raw.sessions AS session
    ON former.reasons[1] LIKE 'key_unique:%'
    AND session.electric_vehicle_id = former.electric_vehicle_id
    AND session.id = former.session_id;

DROP TABLE raw.quarantine_2;

CREATE TABLE raw.quarantine_past (
    org_id UUID NOT NULL,
    user_id UUID NOT NULL,
    electric_vehicle_id UUID NOT NULL,
    record_key VARCHAR NOT NULL,
    session_id UUID,
    rules VARCHAR[] NOT NULL,
    reasons VARCHAR[] NOT NULL,
    payload VARCHAR NOT NULL,
    first_day DATE NOT NULL,
    last_day DATE NOT NULL,
    first_seen_at TIMESTAMPTZ NOT NULL,
    fetched_at TIMESTAMPTZ NOT NULL,
    run_id VARCHAR NOT NULL,
    left_at TIMESTAMPTZ NOT NULL,
    left_by_run_id VARCHAR NOT NULL
);

ALTER TABLE analytics.sessions RENAME TO sessions_2;

CREATE TABLE analytics.sessions (
    org_id UUID NOT NULL,
    user_id UUID NOT NULL,
    electric_vehicle_id UUID NOT NULL,
    id UUID NOT NULL,
    plug_in_time TIMESTAMPTZ NOT NULL,
    unplug_time TIMESTAMPTZ,
    inferred_session_end TIMESTAMPTZ,
    desired_charging_start_time TIMESTAMPTZ,
    desired_charging_end_time TIMESTAMPTZ,
    charge_deadline TIMESTAMPTZ,
    target_soc_pct DECIMAL(18,6),
    initial_soc_pct DECIMAL(18,6),
    final_soc_pct DECIMAL(18,6),
    energy_charged_kwh DECIMAL(18,6),
    avg_charge_power_kw DECIMAL(18,6),
    peak_charge_power_kw DECIMAL(18,6),
    actual_cost_eur DECIMAL(18,6),
    expected_savings_eur DECIMAL(18,6),
    actual_savings_eur DECIMAL(18,6),
    is_at_home BOOLEAN,
    session_outcome VARCHAR,
    session_day DATE NOT NULL,
    price_zone VARCHAR,
    time_zone VARCHAR NOT NULL,
    report_date DATE NOT NULL,
    session_end TIMESTAMPTZ,
    end_source VARCHAR NOT NULL,
    plug_in_hours DECIMAL(38,6),
    charging_hours DECIMAL(38,6),
    idle_hours DECIMAL(38,6),
    soc_gain_pct DECIMAL(38,6),
    implied_capacity_kwh DOUBLE,
    target_met BOOLEAN,
    deadline_outcome VARCHAR NOT NULL,
    counterfactual_cost_eur DECIMAL(38,6),
    savings_rate DOUBLE,
    forecast_error_eur DECIMAL(38,6),
    flags VARCHAR[] NOT NULL,
    version BIGINT NOT NULL,
    first_seen_at TIMESTAMPTZ NOT NULL,
    fetched_at TIMESTAMPTZ NOT NULL,
    run_id VARCHAR NOT NULL,
    derived_at TIMESTAMPTZ NOT NULL,
    derived_by_run_id VARCHAR NOT NULL
);

INSERT INTO analytics.sessions BY NAME
SELECT *, [] AS flags
FROM analytics.sessions_2
ORDER BY session_day;

DROP TABLE analytics.sessions_2;

ALTER TABLE analytics.daily_energy RENAME TO daily_energy_2;

CREATE TABLE analytics.daily_energy (
    session_day DATE NOT NULL,
    report_date DATE NOT NULL,
    org_id UUID NOT NULL,
    user_id UUID NOT NULL,
    electric_vehicle_id UUID NOT NULL,
    price_zone VARCHAR,
    sessions BIGINT NOT NULL,
    sessions_with_energy BIGINT NOT NULL,
    energy_kwh DECIMAL(38,6),
    flagged_sessions BIGINT NOT NULL,
    flagged_share DOUBLE,
    sessions_with_end BIGINT NOT NULL,
    plug_in_hours DECIMAL(38,6),
    charging_hours DECIMAL(38,6),
    idle_hours DECIMAL(38,6),
    sessions_with_idle BIGINT NOT NULL,
    plug_in_with_idle_hours DECIMAL(38,6),
    flexibility_ratio DOUBLE,
    flexibility_coverage DOUBLE,
    at_home_sessions BIGINT NOT NULL,
    away_sessions BIGINT NOT NULL,
    unknown_place_sessions BIGINT NOT NULL,
    at_home_energy_kwh DECIMAL(38,6),
    away_energy_kwh DECIMAL(38,6),
    unknown_place_energy_kwh DECIMAL(38,6),
    at_home_share DOUBLE,
    at_home_coverage DOUBLE,
    at_home_energy_share DOUBLE,
    at_home_energy_coverage DOUBLE,
    peak_charge_power_kw DECIMAL(18,6),
    sessions_with_soc BIGINT NOT NULL,
    mean_soc_gain_pct DOUBLE,
    soc_coverage DOUBLE,
    derived_at TIMESTAMPTZ NOT NULL,
    derived_by_run_id VARCHAR NOT NULL
);

INSERT INTO analytics.daily_energy BY NAME
SELECT *, 0 AS flagged_sessions, NULL AS flagged_share
FROM analytics.daily_energy_2
ORDER BY session_day;

DROP TABLE analytics.daily_energy_2;

ALTER TABLE analytics.fleet_daily RENAME TO fleet_daily_2;

CREATE TABLE analytics.fleet_daily (
    session_day DATE NOT NULL,
    is_final BOOLEAN NOT NULL,
    final_since TIMESTAMPTZ,
    changed_after_final BIGINT,
    vehicles_due BIGINT NOT NULL,
    vehicles_read BIGINT NOT NULL,
    vehicles_failed BIGINT NOT NULL,
    vehicles_read_early BIGINT NOT NULL,
    read_coverage DOUBLE,
    data_through TIMESTAMPTZ,
    sessions_maturity DOUBLE,
    energy_maturity DOUBLE,
    first_report_date DATE,
    last_report_date DATE,
    sessions_listed BIGINT,
    sessions_accepted BIGINT,
    listed_coverage DOUBLE,
    quarantined BIGINT NOT NULL,
    active_vehicles BIGINT NOT NULL,
    active_users BIGINT NOT NULL,
    sessions BIGINT NOT NULL,
    sessions_with_energy BIGINT NOT NULL,
    energy_kwh DECIMAL(38,6),
    flagged_sessions BIGINT NOT NULL,
    flagged_share DOUBLE,
    sessions_with_end BIGINT NOT NULL,
    plug_in_hours DECIMAL(38,6),
    charging_hours DECIMAL(38,6),
    idle_hours DECIMAL(38,6),
    sessions_with_idle BIGINT NOT NULL,
    plug_in_with_idle_hours DECIMAL(38,6),
    flexibility_ratio DOUBLE,
    flexibility_coverage DOUBLE,
    at_home_sessions BIGINT NOT NULL,
    away_sessions BIGINT NOT NULL,
    unknown_place_sessions BIGINT NOT NULL,
    at_home_energy_kwh DECIMAL(38,6),
    away_energy_kwh DECIMAL(38,6),
    unknown_place_energy_kwh DECIMAL(38,6),
    at_home_share DOUBLE,
    at_home_coverage DOUBLE,
    at_home_energy_share DOUBLE,
    at_home_energy_coverage DOUBLE,
    peak_charge_power_kw DECIMAL(18,6),
    sessions_with_soc BIGINT NOT NULL,
    mean_soc_gain_pct DOUBLE,
    soc_coverage DOUBLE,
    sessions_with_cost BIGINT NOT NULL,
    cost_eur DECIMAL(38,6),
    sessions_with_savings BIGINT NOT NULL,
    savings_eur DECIMAL(38,6),
    negative_savings_sessions BIGINT NOT NULL,
    negative_savings_eur DECIMAL(38,6),
    expected_savings_eur DECIMAL(38,6),
    sessions_with_counterfactual BIGINT NOT NULL,
    counterfactual_eur DECIMAL(38,6),
    savings_with_cost_eur DECIMAL(38,6),
    savings_rate DOUBLE,
    savings_rate_coverage DOUBLE,
    savings_with_energy_eur DECIMAL(38,6),
    energy_with_savings_kwh DECIMAL(38,6),
    savings_per_kwh DOUBLE,
    savings_coverage DOUBLE,
    cost_with_energy_eur DECIMAL(38,6),
    energy_with_cost_kwh DECIMAL(38,6),
    cost_per_kwh DOUBLE,
    cost_coverage DOUBLE,
    sessions_with_forecast BIGINT NOT NULL,
    expected_with_savings_eur DECIMAL(38,6),
    savings_with_expected_eur DECIMAL(38,6),
    forecast_bias_eur DECIMAL(38,6),
    absolute_forecast_error_eur DECIMAL(38,6),
    forecast_mae_eur DOUBLE,
    forecast_realisation DOUBLE,
    forecast_coverage DOUBLE,
    mean_energy_kwh DOUBLE,
    median_energy_kwh DOUBLE,
    p95_energy_kwh DOUBLE,
    mean_plug_in_hours DOUBLE,
    median_plug_in_hours DOUBLE,
    p95_plug_in_hours DOUBLE,
    deadlines_met BIGINT NOT NULL,
    deadlines_missed BIGINT NOT NULL,
    deadlines_left_early BIGINT NOT NULL,
    deadlines_unknown BIGINT NOT NULL,
    deadline_met_ratio DOUBLE,
    deadline_coverage DOUBLE,
    sessions_by_outcome MAP(VARCHAR, BIGINT) NOT NULL,
    sessions_without_outcome BIGINT NOT NULL,
    derived_at TIMESTAMPTZ NOT NULL,
    derived_by_run_id VARCHAR NOT NULL
);

INSERT INTO analytics.fleet_daily BY NAME
SELECT *, 0 AS flagged_sessions, NULL AS flagged_share
FROM analytics.fleet_daily_2
ORDER BY session_day;

DROP TABLE analytics.fleet_daily_2;

INSERT INTO raw.touched_days BY NAME
SELECT session_day, now() AS touched_at, 'migration' AS run_id
FROM analytics.fleet_daily
ANTI JOIN raw.touched_days USING (session_day);
