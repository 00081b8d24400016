-- What the quality rules say of a session now, of each vehicle that has it in good order or in quarantine.
SELECT
    coalesce(entry.user_id, session.user_id) AS user_id,
    owner.external_user_id,
    coalesce(entry.electric_vehicle_id, session.electric_vehicle_id) AS electric_vehicle_id,
    coalesce(entry.first_seen_at, session.first_seen_at) AS first_seen_at,
    entry.reasons,
    session.flags
FROM (FROM raw.quarantine WHERE session_id = $session_id) AS entry
FULL JOIN (FROM analytics.sessions WHERE id = $session_id) AS session
    ON session.electric_vehicle_id = entry.electric_vehicle_id
LEFT JOIN raw.users AS owner ON owner.user_id = coalesce(entry.user_id, session.user_id)
ORDER BY electric_vehicle_id
