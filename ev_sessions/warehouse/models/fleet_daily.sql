-- analytics.fleet_daily: one row per day asked for, whether or not it has sessions.
-- Needs the tables asked_days(session_day), coverage, quarantined, energy, savings and spread of those days, and the macro ratio.
SELECT
    coverage.* EXCLUDE (vehicles_held, vehicles_mismatched, vehicles_complete),
    ratio(vehicles_read, vehicles_due) AS read_coverage,
    ratio(sessions_accepted, sessions_listed) AS listed_coverage,
    -- A day on which no vehicle was due stands on no read: it is final once time has passed.
    vehicles_complete = vehicles_due
        AND coalesce(oldest_read_at, $derived_at) >= (session_day + 1)::TIMESTAMPTZ + to_days($lookback_days) AS is_final,
    coalesce(quarantined, 0) AS quarantined,
    energy.* EXCLUDE (session_day),
    savings.* EXCLUDE (session_day, sessions, sessions_with_energy, energy_kwh),
    spread.* EXCLUDE (session_day),
FROM coverage
LEFT JOIN quarantined USING (session_day)
JOIN energy USING (session_day)
JOIN savings USING (session_day)
JOIN spread USING (session_day)
