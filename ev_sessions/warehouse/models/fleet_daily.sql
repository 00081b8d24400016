-- analytics.fleet_daily: one row per day asked for, whether or not it has sessions.
-- Needs the tables asked_days(session_day), finality, changes, maturity, quarantined, energy, savings and spread of those days,
-- and the macro ratio.
SELECT
    finality.* EXCLUDE (vehicles_held, vehicles_mismatched, vehicles_complete),
    ratio(vehicles_read, vehicles_due) AS read_coverage,
    ratio(sessions_accepted, sessions_listed) AS listed_coverage,
    changed_after_final,
    sessions_maturity,
    energy_maturity,
    coalesce(quarantined, 0) AS quarantined,
    energy.* EXCLUDE (session_day),
    savings.* EXCLUDE (session_day, sessions, sessions_with_energy, energy_kwh),
    spread.* EXCLUDE (session_day),
FROM finality
LEFT JOIN changes USING (session_day)
LEFT JOIN maturity USING (session_day)
LEFT JOIN quarantined USING (session_day)
JOIN energy USING (session_day)
JOIN savings USING (session_day)
JOIN spread USING (session_day)
