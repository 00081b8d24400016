-- analytics.sessions: the measures of one session, over the rows that no error rule keeps out.
-- Needs the tables asked_days(session_day) and judged. Hours become decimals here: their sums are then exact.
WITH accepted AS (
    SELECT
        fact.*,
        coalesce(warnings, []) AS flags,
        final_soc_pct >= target_soc_pct::DECIMAL(38, 6) - 1 AS target_met,
        actual_savings_eur::DECIMAL(38, 6) - expected_savings_eur AS forecast_error_eur,
        CASE $report_date WHEN 'session_end' THEN coalesce(session_end, plug_in_time) ELSE plug_in_time END AS reported_at,
        (stay_seconds / 3600)::DECIMAL(38, 6) AS plug_in_hours,
        plug_in_hours - charging_hours AS not_charging_hours,
    FROM (
{facts}
    ) AS fact
    ANTI JOIN {kept_out} AS kept_out
        ON kept_out.electric_vehicle_id = fact.electric_vehicle_id
        AND kept_out.session_id = fact.id
    LEFT JOIN (
        SELECT electric_vehicle_id, id, warnings FROM judged WHERE len(warnings) > 0
    ) AS flagged ON flagged.electric_vehicle_id = fact.electric_vehicle_id AND flagged.id = fact.id
)
SELECT
    * EXCLUDE (
        content_hash, valid_from, extra, initial_as_sent, final_as_sent, target_as_sent, vehicle_created_at, battery_capacity_kwh,
        stay_seconds, earliest_stamp, priced_kwh, figures_known, reported_at, not_charging_hours
    ),
    (reported_at AT TIME ZONE time_zone)::DATE AS report_date,
    CASE
        WHEN unplug_time IS NOT NULL THEN 'unplug'
        WHEN inferred_session_end IS NOT NULL THEN 'inferred'
        ELSE 'none'
    END AS end_source,
    -- Not greatest(0, ...) alone: that is 0 where the difference is not known.
    CASE WHEN not_charging_hours IS NOT NULL THEN greatest(0, not_charging_hours) END AS idle_hours,
    ratio(actual_savings_eur, counterfactual_cost_eur) AS savings_rate,
    CASE
        WHEN charge_deadline IS NULL THEN 'not_applicable'
        WHEN target_met THEN 'met'
        WHEN NOT target_met AND session_end < charge_deadline THEN 'left_early'
        WHEN NOT target_met AND session_end >= charge_deadline THEN 'missed'
        ELSE 'unknown'
    END AS deadline_outcome,
FROM accepted
