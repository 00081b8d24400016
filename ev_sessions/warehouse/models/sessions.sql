-- analytics.sessions: the measures of one session, over the rows that no error rule keeps out.
-- Needs the table asked_days(session_day) and the macro ratio. Hours become decimals here: their sums are then exact.
WITH accepted AS (
    SELECT
        session.* EXCLUDE (content_hash, valid_from, extra),
        coalesce(unplug_time, inferred_session_end) AS session_end,
        final_soc_pct::DECIMAL(38, 6) - initial_soc_pct AS soc_gain_pct,
        final_soc_pct >= target_soc_pct::DECIMAL(38, 6) - 1 AS target_met,
        actual_cost_eur::DECIMAL(38, 6) + actual_savings_eur AS counterfactual_cost_eur,
        actual_savings_eur::DECIMAL(38, 6) - expected_savings_eur AS forecast_error_eur,
    FROM raw.sessions AS session
    ANTI JOIN raw.quarantine AS kept_out
        ON kept_out.electric_vehicle_id = session.electric_vehicle_id
        AND try_cast(kept_out.record_key AS UUID) = session.id
    WHERE session_day IN (SELECT session_day FROM asked_days)
),
timed AS (
    SELECT
        *,
        CASE $report_date WHEN 'session_end' THEN coalesce(session_end, plug_in_time) ELSE plug_in_time END AS reported_at,
        ((epoch_us(session_end) - epoch_us(plug_in_time)) / 3.6e9)::DECIMAL(38, 6) AS plug_in_hours,
        ratio(energy_charged_kwh, avg_charge_power_kw)::DECIMAL(38, 6) AS charging_hours,
        plug_in_hours - charging_hours AS not_charging_hours,
    FROM accepted
)
SELECT
    * EXCLUDE (reported_at, not_charging_hours),
    (reported_at AT TIME ZONE time_zone)::DATE AS report_date,
    CASE
        WHEN unplug_time IS NOT NULL THEN 'unplug'
        WHEN inferred_session_end IS NOT NULL THEN 'inferred'
        ELSE 'none'
    END AS end_source,
    -- Not greatest(0, ...) alone: that is 0 where the difference is not known.
    CASE WHEN not_charging_hours IS NOT NULL THEN greatest(0, not_charging_hours) END AS idle_hours,
    CASE WHEN soc_gain_pct >= 10 THEN energy_charged_kwh / (soc_gain_pct / 100) END AS implied_capacity_kwh,
    ratio(actual_savings_eur, counterfactual_cost_eur) AS savings_rate,
    CASE
        WHEN charge_deadline IS NULL THEN 'not_applicable'
        WHEN target_met THEN 'met'
        WHEN NOT target_met AND session_end < charge_deadline THEN 'left_early'
        WHEN NOT target_met AND session_end >= charge_deadline THEN 'missed'
        ELSE 'unknown'
    END AS deadline_outcome,
    []::VARCHAR[] AS flags,
FROM timed
