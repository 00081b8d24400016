-- The days of each vehicle's life among $first..$last: those on which it is due.
SELECT electric_vehicle_id, first_day, last_day
FROM (
    SELECT
        electric_vehicle_id,
        greatest(life.first_day, $first::DATE) AS first_day,
        least(life.last_day, $last::DATE) AS last_day,
    FROM (
{lives}
    ) AS life
)
WHERE first_day <= last_day
