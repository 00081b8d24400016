-- Measures per session day, report date and group, with how far the session day is read.
SELECT {columns}
FROM (
    SELECT *, sessions - sessions_with_energy AS sessions_without_energy
    FROM (
{measures}
    )
) AS measures
JOIN (
    SELECT
        session_day,
        is_final,
        data_through,
        vehicles_due,
        vehicles_read,
        read_coverage,
        sessions_listed,
        sessions_accepted,
        listed_coverage,
    FROM analytics.fleet_daily
) AS standing USING (session_day)
