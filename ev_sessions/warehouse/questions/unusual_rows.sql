-- Adds to bad_rows the sessions of the days asked for that break one of $rules, of severity info, and are only counted for it.
INSERT INTO bad_rows
SELECT session_day, electric_vehicle_id, id::VARCHAR, id, rule, NULL, NULL
FROM (
{session_hits}
)
WHERE list_contains($rules, rule) AND ($vehicle IS NULL OR electric_vehicle_id = $vehicle)
