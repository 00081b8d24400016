-- analytics.fleet_daily: one row per day asked for, whether or not it has sessions.
-- Needs the tables asked_days(session_day), finality, changes, maturity, quarantined_records and measures of those days.
SELECT
    finality.* EXCLUDE (vehicles_held, vehicles_mismatched, vehicles_complete, unread),
    ratio(vehicles_read, vehicles_due) AS read_coverage,
    ratio(sessions_accepted, sessions_listed) AS listed_coverage,
    changed_after_final,
    sessions_maturity,
    energy_maturity,
    coalesce(quarantined, 0) AS quarantined,
    measures.* EXCLUDE (session_day),
FROM finality
LEFT JOIN changes USING (session_day)
LEFT JOIN maturity USING (session_day)
LEFT JOIN (
    SELECT session_day, count(*) AS quarantined FROM quarantined_records GROUP BY session_day
) USING (session_day)
JOIN measures USING (session_day)
