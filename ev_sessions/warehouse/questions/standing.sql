-- How each of the days $first..$last stands, with the columns of DayStanding in their order. Never looks at the ledger itself.
WITH lives AS (
{lives}
), changes AS (
    SELECT session_day, sum(change) AS change
    FROM (
        SELECT first_day AS session_day, 1 AS change FROM lives
        UNION ALL
        SELECT last_day + 1, -1 FROM lives
        UNION ALL
        SELECT unnest(generate_series($first::DATE, $last::DATE, INTERVAL 1 DAY))::DATE, 0
    )
    GROUP BY session_day
), due AS (
    SELECT session_day, (sum(change) OVER (ORDER BY session_day))::BIGINT AS vehicles_due
    FROM changes
)
SELECT
    session_day,
    due.vehicles_due,
    fleet_daily.session_day IS NOT NULL AS is_derived,
    coalesce(vehicles_read, 0) AS vehicles_read,
    coalesce(vehicles_read + vehicles_failed, 0) AS vehicles_tried,
    coalesce(vehicles_read_early, 0) AS vehicles_read_early,
FROM due
LEFT JOIN analytics.fleet_daily USING (session_day)
WHERE session_day BETWEEN $first AND $last
ORDER BY session_day
