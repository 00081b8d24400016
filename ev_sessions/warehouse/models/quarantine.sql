-- raw.quarantine, as far as the rows of raw.sessions on the days asked for are in it: those that judged finds an error in, and those
-- that the landing found under two vehicles. Needs the tables asked_days(session_day) and judged.
CREATE OR REPLACE TEMP TABLE kept_out AS
SELECT
    session_day,
    electric_vehicle_id,
    id,
    list_concat(clash.reasons, list_transform(errors, lambda name: {reason})) AS reasons,
FROM (FROM judged WHERE len(errors) > 0) AS judged
FULL JOIN (
    -- The landing puts it first.
    SELECT first_day AS session_day, electric_vehicle_id, try_cast(record_key AS UUID) AS id, reasons[:1] AS reasons
    FROM raw.quarantine
    WHERE in_sessions
        AND first_day IN (SELECT session_day FROM asked_days)
        AND reasons[1] LIKE 'id_of_two_vehicles:%'
) AS clash USING (session_day, electric_vehicle_id, id)
ANTI JOIN (
    -- A record that the API now sends in a form that cannot be used is listed as that.
    SELECT electric_vehicle_id, try_cast(record_key AS UUID) AS id FROM raw.quarantine WHERE NOT in_sessions
) AS unusable USING (electric_vehicle_id, id);

DELETE FROM raw.quarantine
WHERE in_sessions AND first_day IN (SELECT session_day FROM asked_days);

-- The days narrow the search to the row groups that hold the rows.
INSERT INTO raw.quarantine BY NAME
SELECT
    session.org_id,
    session.user_id,
    electric_vehicle_id,
    id::VARCHAR AS record_key,
    reasons,
    true AS in_sessions,
    {payload} AS payload,
    session_day AS first_day,
    session_day AS last_day,
    session.first_seen_at,
    session.fetched_at,
    session.run_id,
FROM raw.sessions AS session
JOIN kept_out USING (session_day, electric_vehicle_id, id)
ORDER BY session_day, electric_vehicle_id, id;
