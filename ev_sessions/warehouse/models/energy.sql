-- Energy, time plugged in and place of the groups {grain} over {rows}; a group without sessions has counts of 0 and no sums.
-- Needs the macro ratio.
WITH sums AS (
    SELECT
        {grain},
        count(id) AS sessions,
        count(energy_charged_kwh) AS sessions_with_energy,
        sum(energy_charged_kwh) AS energy_kwh,
        count(id) FILTER (len(flags) > 0) AS flagged_sessions,
        count(session_end) AS sessions_with_end,
        sum(plug_in_hours) AS plug_in_hours,
        sum(charging_hours) AS charging_hours,
        sum(idle_hours) AS idle_hours,
        count(idle_hours) AS sessions_with_idle,
        sum(plug_in_hours) FILTER (idle_hours IS NOT NULL) AS plug_in_with_idle_hours,
        count(id) FILTER (is_at_home) AS at_home_sessions,
        count(id) FILTER (NOT is_at_home) AS away_sessions,
        count(id) FILTER (is_at_home IS NULL) AS unknown_place_sessions,
        sum(energy_charged_kwh) FILTER (is_at_home) AS at_home_energy_kwh,
        sum(energy_charged_kwh) FILTER (NOT is_at_home) AS away_energy_kwh,
        sum(energy_charged_kwh) FILTER (is_at_home IS NULL) AS unknown_place_energy_kwh,
        sum(energy_charged_kwh) FILTER (is_at_home IS NOT NULL) AS known_place_energy_kwh,
        max(peak_charge_power_kw) AS peak_charge_power_kw,
        count(soc_gain_pct) AS sessions_with_soc,
        sum(soc_gain_pct) AS soc_gain_pct,
    FROM {rows}
    GROUP BY {grain}
)
SELECT
    * EXCLUDE (known_place_energy_kwh, soc_gain_pct),
    ratio(flagged_sessions, sessions) AS flagged_share,
    ratio(idle_hours, plug_in_with_idle_hours) AS flexibility_ratio,
    ratio(sessions_with_idle, sessions) AS flexibility_coverage,
    ratio(at_home_sessions, at_home_sessions + away_sessions) AS at_home_share,
    ratio(at_home_sessions + away_sessions, sessions) AS at_home_coverage,
    -- Null means here that no session at all is there, which is a known share: none.
    ratio(coalesce(at_home_energy_kwh, 0), known_place_energy_kwh) AS at_home_energy_share,
    ratio(coalesce(known_place_energy_kwh, 0), energy_kwh) AS at_home_energy_coverage,
    ratio(soc_gain_pct, sessions_with_soc) AS mean_soc_gain_pct,
    ratio(sessions_with_soc, sessions) AS soc_coverage,
FROM sums
