-- Measures per month of the report date and group, with how far the month is read.
SELECT {columns}
FROM (
    SELECT
        *,
        sessions - sessions_with_energy AS sessions_without_energy,
        ratio(7 * sessions, active_vehicles * days_derived) AS sessions_per_active_vehicle_week,
    FROM (
{measures}
    ) AS measures
    JOIN (
{standing}
    ) AS standing USING (report_month)
)
