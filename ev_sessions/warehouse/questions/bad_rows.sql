-- The table bad_rows: each session or record of the days asked for with each of the rules $rules for which it is kept out or flagged.
-- A record that does not stand in raw.sessions has its payload. Needs the table asked_days(session_day).
CREATE OR REPLACE TEMP TABLE bad_rows AS
SELECT *
FROM (
    SELECT
        session_day,
        electric_vehicle_id,
        record_key,
        session_id,
        rule,
        -- A reason begins with the name of its rule.
        substr(reason, length(rule) + 3) AS meaning,
        if(in_sessions, NULL, payload) AS payload,
    FROM (
        SELECT *, unnest(rules) AS rule, unnest(reasons) AS reason
        FROM (
{quarantined_records}
        )
    )
    UNION ALL
    SELECT session_day, electric_vehicle_id, id::VARCHAR, id, unnest(flags), NULL, NULL
    FROM analytics.sessions
    -- Before the flags are taken apart: most sessions have none.
    WHERE list_has_any(flags, $rules) AND session_day IN (SELECT session_day FROM asked_days)
)
WHERE list_contains($rules, rule) AND ($vehicle IS NULL OR electric_vehicle_id = $vehicle)
