-- What only the single sessions can tell of the groups {grain} over {rows}: middle and tail, mixes, who took part.
-- Needs the macro ratio.
WITH counts AS (
    SELECT
        {grain},
        count(DISTINCT electric_vehicle_id) AS active_vehicles,
        count(DISTINCT user_id) AS active_users,
        min(report_date) AS first_report_date,
        max(report_date) AS last_report_date,
        avg(energy_charged_kwh) AS mean_energy_kwh,
        quantile_cont(energy_charged_kwh::DOUBLE, [0.5, 0.95]) AS energy_quantiles,
        sum(plug_in_hours) / count(plug_in_hours) AS mean_plug_in_hours,
        quantile_cont(plug_in_hours::DOUBLE, [0.5, 0.95]) AS plug_in_quantiles,
        count(id) FILTER (deadline_outcome = 'met') AS deadlines_met,
        count(id) FILTER (deadline_outcome = 'missed') AS deadlines_missed,
        count(id) FILTER (deadline_outcome = 'left_early') AS deadlines_left_early,
        count(id) FILTER (deadline_outcome = 'unknown') AS deadlines_unknown,
        count(charge_deadline) AS deadlines,
        coalesce(histogram(session_outcome), MAP {}) AS sessions_by_outcome,
        count(id) FILTER (session_outcome IS NULL) AS sessions_without_outcome,
    FROM {rows}
    GROUP BY {grain}
)
SELECT
    * EXCLUDE (energy_quantiles, plug_in_quantiles, deadlines),
    energy_quantiles[1] AS median_energy_kwh,
    energy_quantiles[2] AS p95_energy_kwh,
    plug_in_quantiles[1] AS median_plug_in_hours,
    plug_in_quantiles[2] AS p95_plug_in_hours,
    ratio(deadlines_met, deadlines_met + deadlines_missed) AS deadline_met_ratio,
    ratio(deadlines_met + deadlines_missed, deadlines) AS deadline_coverage,
FROM counts
