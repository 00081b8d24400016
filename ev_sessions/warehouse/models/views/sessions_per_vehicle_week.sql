SELECT
    report_week,
    org_id,
    price_zone,
    is_final,
    data_through,
    sessions,
    active_vehicles,
    ratio(sessions, active_vehicles) AS sessions_per_active_vehicle,
FROM (
    SELECT
        date_trunc('week', report_date)::DATE AS report_week,
        org_id,
        price_zone,
        count(*) AS sessions,
        count(DISTINCT electric_vehicle_id) AS active_vehicles,
    FROM analytics.sessions
    GROUP BY ALL
)
JOIN (
{standing}
) AS standing USING (report_week)
