-- Vehicles per day asked for, with the columns of DayCoverage in their order. Needs asked_days.
SELECT session_day, vehicles_due, vehicles_read, vehicles_failed, vehicles_held, vehicles_mismatched
FROM (
{coverage}
)
ORDER BY session_day
