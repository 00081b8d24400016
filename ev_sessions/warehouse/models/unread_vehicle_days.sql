-- analytics.unread_vehicle_days: the vehicles due on a day that no answer covers. Needs the table finality.
SELECT session_day, org_id, user_id, electric_vehicle_id, price_zone, last_outcome
FROM (
    SELECT session_day, unnest(unread, recursive := true) FROM finality
)
JOIN raw.vehicles USING (electric_vehicle_id)
