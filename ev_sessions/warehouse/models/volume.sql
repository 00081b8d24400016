-- The days asked for on which there are unusually few or many sessions, or little or much energy: beside the median of the same weekday
-- in the 8 weeks before, if at least 3 of those can be compared. A final day is compared with final ones; another with what was seen
-- of those days when they were as old as it is. Needs the tables finality, measures, followed and seen.
WITH final AS (
    SELECT session_day, sessions, coalesce(energy_kwh, 0) AS energy_kwh
    FROM (
        SELECT session_day, is_final, vehicles_due, sessions, energy_kwh
        FROM analytics.fleet_daily
        ANTI JOIN finality USING (session_day)
        WHERE session_day BETWEEN (SELECT min(session_day) - 56 FROM finality) AND (SELECT max(session_day) FROM finality)
        UNION ALL
        SELECT session_day, is_final, vehicles_due, sessions, energy_kwh
        FROM finality
        JOIN measures USING (session_day)
    )
    WHERE is_final AND vehicles_due > 0
),
comparable AS (
    SELECT day.session_day, past.sessions, past.energy_kwh
    FROM final AS day
    JOIN final AS past ON past.session_day BETWEEN day.session_day - 56 AND day.session_day - 7
    WHERE (day.session_day - past.session_day) % 7 = 0 AND day.session_day IN (SELECT session_day FROM finality)
    UNION ALL
    SELECT
        session_day,
        coalesce(sum(sessions) FILTER (seen_age <= age AND known_age <= age), 0),
        coalesce(sum(energy_kwh) FILTER (seen_age <= age AND known_age <= age), 0),
    FROM followed
    LEFT JOIN seen USING (past_day)
    WHERE (session_day - past_day) % 7 = 0
    GROUP BY session_day, past_day
),
usual AS (
    SELECT session_day, median(sessions) AS sessions, median(energy_kwh) AS energy_kwh
    FROM comparable
    GROUP BY session_day
    HAVING count(*) >= 3
)
SELECT session_day
FROM usual
JOIN measures USING (session_day)
WHERE NOT (ratio(measures.sessions, usual.sessions) BETWEEN {volume_min} AND {volume_max})
    OR NOT (ratio(coalesce(measures.energy_kwh, 0), usual.energy_kwh) BETWEEN {volume_min} AND {volume_max})
