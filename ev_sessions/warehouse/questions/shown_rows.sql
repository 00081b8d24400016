-- The first $limit of bad_rows, the newest days first, with the API's fields where they stand in raw.sessions.
SELECT shown.* EXCLUDE (session_id), session.price_zone, {fields}
FROM (
    FROM bad_rows
    ORDER BY session_day DESC, electric_vehicle_id, record_key, rule
    LIMIT $limit
) AS shown
LEFT JOIN raw.sessions AS session
    ON shown.payload IS NULL
    AND session.session_day = shown.session_day
    AND session.electric_vehicle_id = shown.electric_vehicle_id
    AND session.id = shown.session_id
ORDER BY shown.session_day DESC, shown.electric_vehicle_id, shown.record_key, shown.rule
