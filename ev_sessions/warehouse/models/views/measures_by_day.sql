-- Measures per session day, report date and group, with how far the session day is read.
SELECT {columns}
FROM (
    SELECT
        measures.*,
        standing.* EXCLUDE (session_day),
        sessions - sessions_with_energy AS sessions_without_energy,
        coalesce(due, 0) AS vehicles_due,
        coalesce(read, 0) AS vehicles_read,
        ratio(vehicles_read, vehicles_due) AS read_coverage,
    FROM (
{measures}
    ) AS measures
    JOIN (
        SELECT session_day, is_final, data_through, sessions_listed, sessions_accepted, listed_coverage
        FROM analytics.fleet_daily
    ) AS standing USING (session_day)
    LEFT JOIN (
{coverage}
    ) AS coverage ON {same_group}
)
