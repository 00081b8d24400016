-- What on our side could make a difference: for each row of differing(electric_vehicle_id, report_month), where a null vehicle
-- stands for all of them. Records without a day of their own count in every month that their window touches.
WITH asked AS (
    SELECT *, report_month AS first_day, last_day(report_month) AS last_day FROM differing
),
days_due AS (
    SELECT asked.electric_vehicle_id, report_month, unnest(generate_series(first_day, last_day, INTERVAL 1 DAY))::DATE AS day
    FROM asked
    WHERE electric_vehicle_id IS NOT NULL
),
unread AS (
    SELECT days_due.electric_vehicle_id, report_month, count(*) AS vehicle_days
    FROM days_due
    JOIN raw.vehicles AS vehicle
        ON vehicle.electric_vehicle_id = days_due.electric_vehicle_id
        AND coalesce(created_at::DATE <= day, true)
        AND coalesce(deleted_at::DATE + 1 >= day, true)
        AND coalesce(missing_since::DATE >= day, true)
    ANTI JOIN raw.fetches AS read
        ON read.electric_vehicle_id = days_due.electric_vehicle_id
        AND is_answer(outcome)
        AND day BETWEEN read.first_day AND read.last_day
    GROUP BY ALL
    UNION ALL
    SELECT NULL, report_month, sum(vehicles_due - vehicles_read)::BIGINT
    FROM asked
    JOIN analytics.fleet_daily ON session_day BETWEEN first_day AND last_day
    WHERE electric_vehicle_id IS NULL
    GROUP BY report_month
),
kept_out AS (
    SELECT
        asked.electric_vehicle_id,
        report_month,
        count(*) FILTER (NOT in_sessions) AS not_landed,
        count(*) FILTER (in_sessions) AS landed,
    FROM asked
    JOIN raw.quarantine AS record
        ON record.first_day <= asked.last_day
        AND record.last_day >= asked.first_day
        AND record.electric_vehicle_id = coalesce(asked.electric_vehicle_id, record.electric_vehicle_id)
    GROUP BY ALL
),
gone AS (
    SELECT asked.electric_vehicle_id, report_month, count(DISTINCT version.id) AS sessions
    FROM asked
    JOIN raw.session_versions AS version
        ON end_reason = 'vanished'
        AND session_day BETWEEN first_day AND last_day
        AND version.electric_vehicle_id = coalesce(asked.electric_vehicle_id, version.electric_vehicle_id)
    ANTI JOIN raw.sessions AS present
        ON present.electric_vehicle_id = version.electric_vehicle_id
        AND present.id = version.id
    GROUP BY ALL
),
last_read AS (
    SELECT asked.electric_vehicle_id, report_month, max(fetched_at) AS read_at
    FROM asked
    JOIN raw.fetches AS read
        ON read.electric_vehicle_id = coalesce(asked.electric_vehicle_id, read.electric_vehicle_id)
        AND has_list(outcome)
        AND asked.first_day BETWEEN read.first_day AND read.last_day
    GROUP BY ALL
)
SELECT
    asked.electric_vehicle_id,
    asked.report_month,
    coalesce(unread.vehicle_days, 0),
    coalesce(kept_out.not_landed, 0),
    coalesce(kept_out.landed, 0),
    coalesce(gone.sessions, 0),
    read_at,
FROM asked
LEFT JOIN unread
    ON unread.report_month = asked.report_month
    AND unread.electric_vehicle_id IS NOT DISTINCT FROM asked.electric_vehicle_id
LEFT JOIN kept_out
    ON kept_out.report_month = asked.report_month
    AND kept_out.electric_vehicle_id IS NOT DISTINCT FROM asked.electric_vehicle_id
LEFT JOIN gone
    ON gone.report_month = asked.report_month
    AND gone.electric_vehicle_id IS NOT DISTINCT FROM asked.electric_vehicle_id
LEFT JOIN last_read
    ON last_read.report_month = asked.report_month
    AND last_read.electric_vehicle_id IS NOT DISTINCT FROM asked.electric_vehicle_id
