-- When a session came in a form that cannot be used and no longer does, of each vehicle that had it so.
SELECT past.*, owner.external_user_id
FROM raw.quarantine_past AS past
LEFT JOIN raw.users AS owner USING (user_id)
WHERE session_id = $session_id
ORDER BY electric_vehicle_id, past.first_seen_at
