-- raw.quarantine, as far as the rows of raw.sessions on the days asked for are in it: those that judged finds an error in, and those
-- that the landing found under two vehicles. Needs the tables asked_days(session_day) and judged.
CREATE OR REPLACE TEMP TABLE kept_out AS
SELECT
    electric_vehicle_id,
    id,
    list_concat(clash.reasons, list_transform(errors, lambda name: {reason})) AS reasons,
FROM (FROM judged WHERE len(errors) > 0) AS judged
FULL JOIN (
    -- The landing puts it first.
    SELECT electric_vehicle_id, try_cast(record_key AS UUID) AS id, reasons[:1] AS reasons
    FROM raw.quarantine
    WHERE in_sessions
        AND first_day IN (SELECT session_day FROM asked_days)
        AND reasons[1] LIKE 'id_of_two_vehicles:%'
) AS clash USING (electric_vehicle_id, id);

DELETE FROM raw.quarantine
WHERE in_sessions AND first_day IN (SELECT session_day FROM asked_days);

INSERT INTO raw.quarantine BY NAME
SELECT
    session.org_id,
    session.user_id,
    electric_vehicle_id,
    id::VARCHAR AS record_key,
    reasons,
    true AS in_sessions,
    {payload} AS payload,
    session.session_day AS first_day,
    session.session_day AS last_day,
    session.first_seen_at,
    session.fetched_at,
    session.run_id,
FROM raw.sessions AS session
JOIN kept_out USING (electric_vehicle_id, id)
ANTI JOIN (
    -- A record that the API now sends in a form that cannot be used is listed as that.
    SELECT electric_vehicle_id, try_cast(record_key AS UUID) AS id FROM raw.quarantine
) AS listed USING (electric_vehicle_id, id)
WHERE session_day IN (SELECT session_day FROM asked_days)
ORDER BY session_day, electric_vehicle_id, id;
