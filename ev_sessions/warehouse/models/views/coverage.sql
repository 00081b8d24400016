-- How many days of its vehicles' lives each group {group} has per {period}, of those that are derived, and how many of them are read.
-- A day that was derived before a vehicle was first seen says nothing of it: nobody has read that day of the vehicle yet.
SELECT
    {period},
    {group},
    count(*) AS due,
    count(*) FILTER (unread.day IS NULL AND derived_at >= first_seen_at) AS read,
FROM (SELECT {days}, derived_at FROM analytics.fleet_daily) AS derived
JOIN (
{lives}
) AS lives ON day BETWEEN first_day AND last_day
LEFT JOIN (SELECT {days}, electric_vehicle_id FROM analytics.unread_vehicle_days) AS unread
    USING ({period}, day, electric_vehicle_id)
GROUP BY ALL
