-- Rows of raw.sessions become entries of raw.quarantine: those in the table kept_out(session_day, electric_vehicle_id, id, rules,
-- reasons). The days narrow the search to the row groups that hold the rows.
INSERT INTO raw.quarantine BY NAME
SELECT
    session.org_id,
    session.user_id,
    electric_vehicle_id,
    id::VARCHAR AS record_key,
    id AS session_id,
    rules,
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
ORDER BY session_day, electric_vehicle_id, id
