-- Sessions that stand twice, and ids that two vehicles have, per day on which such a row stands. Needs asked_days.
WITH suspects AS (
    SELECT
        id,
        count(*) > count(DISTINCT electric_vehicle_id) AS doubled,
        count(DISTINCT electric_vehicle_id) > 1 AS shared,
    FROM raw.sessions
    -- Over all days: the other row may stand on a day that nobody asked about.
    WHERE id IN (SELECT id FROM raw.sessions WHERE session_day IN (SELECT session_day FROM asked_days))
    GROUP BY id
    HAVING count(*) > 1
)
SELECT
    session_day,
    count(DISTINCT id) FILTER (doubled),
    count(DISTINCT id) FILTER (shared),
FROM raw.sessions
JOIN suspects USING (id)
SEMI JOIN asked_days USING (session_day)
GROUP BY session_day
ORDER BY session_day
