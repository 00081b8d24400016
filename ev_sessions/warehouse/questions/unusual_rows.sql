-- Adds to bad_rows the sessions of the days asked for that break one of $rules and are only counted for it.
INSERT INTO bad_rows
SELECT *
FROM (
    SELECT session_day, electric_vehicle_id, id::VARCHAR, unnest(infos) AS rule, NULL, NULL
    FROM (
{judged}
    )
)
WHERE list_contains($rules, rule) AND ($vehicle IS NULL OR electric_vehicle_id = $vehicle)
