-- Measures per month of the report date and group, with how far the month is read.
SELECT {columns}
FROM (
    SELECT
        measures.*,
        standing.* EXCLUDE (report_month),
        sessions - sessions_with_energy AS sessions_without_energy,
        ratio(7 * sessions, active_vehicles * days_derived) AS sessions_per_active_vehicle_week,
        coalesce(due, 0) AS vehicle_days_due,
        coalesce(read, 0) AS vehicle_days_read,
        ratio(vehicle_days_read, vehicle_days_due) AS read_coverage,
    FROM (
{measures}
    ) AS measures
    JOIN (
{standing}
    ) AS standing USING (report_month)
    LEFT JOIN (
{coverage}
    ) AS coverage ON {same_group}
)
