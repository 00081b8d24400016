-- Records kept out per day asked for: the table asked_days(session_day). Each record counts on exactly one day.
WITH kept_out AS (
    SELECT
        session_day AS known_day,
        first_day,
        last_day,
        -- A payload can be anything, also no JSON at all.
        CASE WHEN json_valid(payload) THEN try_cast(payload ->> '$.plug_in_time' AS TIMESTAMPTZ)::DATE END AS plug_in_day,
    FROM raw.quarantine AS kept_out
    LEFT JOIN raw.sessions AS session
        ON kept_out.electric_vehicle_id = session.electric_vehicle_id
        AND try_cast(kept_out.record_key AS UUID) = session.id
)
SELECT session_day, count(*) AS quarantined
FROM (
    SELECT coalesce(known_day, if(plug_in_day BETWEEN first_day AND last_day, plug_in_day, first_day)) AS session_day
    FROM kept_out
)
WHERE session_day IN (SELECT session_day FROM asked_days)
GROUP BY session_day
