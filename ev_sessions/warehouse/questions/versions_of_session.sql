-- Every version of a session, the standing one with them, of each vehicle that ever had it.
SELECT version.*, owner.external_user_id
FROM (
    SELECT *, NULL::TIMESTAMPTZ AS replaced_at, NULL::VARCHAR AS replaced_by_run_id, NULL::VARCHAR AS end_reason
    FROM raw.sessions
    WHERE id = $session_id
    UNION ALL BY NAME
    SELECT * EXCLUDE (changed_fields)
    FROM raw.session_versions
    WHERE id = $session_id
) AS version
LEFT JOIN raw.users AS owner USING (user_id)
ORDER BY electric_vehicle_id, valid_from, version
