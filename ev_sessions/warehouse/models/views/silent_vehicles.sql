SELECT
    org_id,
    user_id,
    electric_vehicle_id,
    price_zone,
    is_authenticated,
    last_session_day,
    newest_day,
    newest_day - last_session_day AS days_silent,
FROM raw.vehicles
CROSS JOIN (SELECT max(session_day) AS newest_day FROM analytics.fleet_daily WHERE vehicles_read > 0)
LEFT JOIN (
    SELECT electric_vehicle_id, max(session_day) AS last_session_day
    FROM raw.sessions
    GROUP BY electric_vehicle_id
) USING (electric_vehicle_id)
-- A fleet file does not tell whether a vehicle can be reached.
WHERE is_authenticated IS DISTINCT FROM false
    AND deleted_at IS NULL
    AND missing_since IS NULL
    AND coalesce(created_at::DATE <= newest_day - 30, true)
    AND coalesce(last_session_day <= newest_day - 30, newest_day IS NOT NULL)
