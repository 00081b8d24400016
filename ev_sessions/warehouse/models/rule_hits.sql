-- How often each rule was broken on the days asked for. Needs the tables asked_days(session_day), judged, quarantined_records,
-- changes and volume of those days.
WITH hits AS (
    SELECT session_day, rule
    FROM (
{session_hits}
    )
    UNION ALL
    SELECT session_day, rule
    FROM (SELECT session_day, in_sessions, unnest(rules) AS rule FROM quarantined_records)
    WHERE NOT in_sessions OR rule = 'id_of_two_vehicles'
    UNION ALL
    -- A session that is not back on any day counts on the last one that it vanished from.
    SELECT session_day, 'vanished'
    FROM (
        SELECT electric_vehicle_id, id, arg_max(session_day, version) AS session_day
        FROM raw.session_versions
        SEMI JOIN (
            FROM raw.session_versions
            WHERE end_reason = 'vanished' AND session_day IN (SELECT session_day FROM asked_days)
        ) USING (electric_vehicle_id, id)
        WHERE end_reason = 'vanished'
        GROUP BY electric_vehicle_id, id
    )
    ANTI JOIN raw.sessions USING (electric_vehicle_id, id)
    WHERE session_day IN (SELECT session_day FROM asked_days)
    UNION ALL
    SELECT session_day, 'unusual_volume' FROM volume
)
SELECT session_day, rule, family, severity, hits
FROM (
    SELECT session_day, rule, count(*) AS hits FROM hits GROUP BY session_day, rule
    UNION ALL
    SELECT session_day, 'changed_after_final', changed_after_final FROM changes WHERE changed_after_final > 0
)
JOIN ({rules}) USING (rule)
