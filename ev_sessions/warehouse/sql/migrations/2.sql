-- Schema 2: maturity and finality of days, months of savings. The tables are written out as they were then, and stay so.
-- Days that are not final are derived again by the next run, months are summed up one after the other: no long transaction here.

CREATE TABLE raw.touched_months (
    report_month DATE NOT NULL,
    touched_at TIMESTAMPTZ NOT NULL,
    run_id VARCHAR NOT NULL
);

CREATE TABLE analytics.monthly_savings (
    report_month DATE NOT NULL,
    org_id UUID NOT NULL,
    user_id UUID NOT NULL,
    is_final BOOLEAN NOT NULL,
    data_through TIMESTAMPTZ,
    vehicles BIGINT NOT NULL,
    sessions BIGINT NOT NULL,
    sessions_with_energy BIGINT NOT NULL,
    energy_kwh DECIMAL(38,6),
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
    derived_at TIMESTAMPTZ NOT NULL,
    derived_by_run_id VARCHAR NOT NULL
);

ALTER TABLE analytics.fleet_daily RENAME TO fleet_daily_1;

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
SELECT
    former.* RENAME (oldest_read_at AS data_through),
    0 AS vehicles_read_early,
    reported.first_report_date,
    reported.last_report_date
FROM analytics.fleet_daily_1 AS former
LEFT JOIN (
    SELECT session_day, min(report_date) AS first_report_date, max(report_date) AS last_report_date
    FROM analytics.daily_savings
    GROUP BY session_day
) AS reported USING (session_day)
ORDER BY session_day;

DROP TABLE analytics.fleet_daily_1;

INSERT INTO raw.touched_days BY NAME
SELECT session_day, now() AS touched_at, 'migration' AS run_id
FROM analytics.fleet_daily
ANTI JOIN raw.touched_days USING (session_day)
WHERE NOT is_final;

INSERT INTO raw.touched_months BY NAME
SELECT DISTINCT date_trunc('month', report_date)::DATE AS report_month, now() AS touched_at, 'migration' AS run_id
FROM analytics.daily_savings;
