-- The days of each vehicle's life among $first..$last: those on which it is due.
SELECT electric_vehicle_id, first_day, last_day
FROM (
    SELECT
        electric_vehicle_id,
        greatest(created_at::DATE, $first::DATE) AS first_day,
        least(deleted_at::DATE + 1, missing_since::DATE, $last::DATE) AS last_day,
    FROM raw.vehicles
)
WHERE first_day <= last_day
