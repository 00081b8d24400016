-- Records kept out, each on exactly one of the days asked for: the table asked_days(session_day). One that stands in raw.sessions is
-- listed under its own day.
SELECT session_day, electric_vehicle_id, record_key, session_id, in_sessions, rules, reasons, payload
FROM (
    SELECT
        electric_vehicle_id,
        record_key,
        session_id,
        in_sessions,
        rules,
        reasons,
        payload,
        -- A payload can be anything, also no JSON at all.
        CASE WHEN NOT in_sessions AND json_valid(payload)
            THEN try_cast(payload ->> '$.plug_in_time' AS TIMESTAMPTZ)::DATE
        END AS plug_in_day,
        if(plug_in_day BETWEEN first_day AND last_day, plug_in_day, first_day) AS session_day,
    FROM raw.quarantine
    WHERE last_day >= (SELECT min(session_day) FROM asked_days)
        AND first_day <= (SELECT max(session_day) FROM asked_days)
)
WHERE session_day IN (SELECT session_day FROM asked_days)
