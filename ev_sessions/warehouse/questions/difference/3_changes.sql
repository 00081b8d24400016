-- What each session adds to the month's difference, and why: from the rows then to the rows now under the settings then
-- (accepted_then -> accepted_meanwhile), and from there to the settings now (accepted_now). So the causes sum to the difference.
CREATE OR REPLACE TEMP TABLE changes AS
WITH steps AS (
    SELECT *, false AS by_setting, -1 AS sign FROM accepted_then WHERE report_month = $report_month
    UNION ALL
    SELECT *, false AS by_setting, 1 AS sign FROM accepted_meanwhile WHERE report_month = $report_month
    UNION ALL
    SELECT *, true AS by_setting, -1 AS sign FROM accepted_meanwhile WHERE report_month = $report_month
    UNION ALL
    SELECT *, true AS by_setting, 1 AS sign FROM accepted_now WHERE report_month = $report_month
),
differences AS (
    SELECT
        electric_vehicle_id,
        id,
        by_setting,
        arg_max(user_id, sign) AS user_id,
        sum(sign)::BIGINT AS sessions,
        coalesce(sum(sign * energy_kwh), 0)::DECIMAL(38, 6) AS energy_kwh,
        coalesce(sum(sign * cost_eur), 0)::DECIMAL(38, 6) AS cost_eur,
        coalesce(sum(sign * savings_eur), 0)::DECIMAL(38, 6) AS savings_eur,
    FROM steps
    GROUP BY electric_vehicle_id, id, by_setting
),
-- What was listed, or is, in a form that cannot be used, by what ended a version, and what stands in quarantine or left it.
unusable_then AS (
    SELECT electric_vehicle_id, id
    FROM raw.session_versions
    SEMI JOIN differences USING (electric_vehicle_id, id)
    WHERE replaced_at <= $instant
    GROUP BY electric_vehicle_id, id
    HAVING arg_max(end_reason, replaced_at) = 'quarantined'
    UNION
    SELECT electric_vehicle_id, session_id AS id
    FROM raw.quarantine_past
    WHERE first_seen_at <= $instant AND left_at > $instant
),
unusable_now AS (
    SELECT electric_vehicle_id, session_id AS id FROM raw.quarantine WHERE NOT in_sessions
)
SELECT
    CASE
        WHEN by_setting THEN 'setting'
        WHEN row_then.id IS NULL THEN if(unusable_then.id IS NULL, 'late', 'rule')
        WHEN row_now.id IS NULL THEN if(unusable_now.id IS NULL, 'vanished', 'rule')
        WHEN (former.id IS NULL) <> (present.id IS NULL) THEN 'rule'
        ELSE 'restated'
    END AS cause,
    difference.id AS session_id,
    difference.electric_vehicle_id,
    difference.user_id,
    difference.sessions,
    difference.energy_kwh,
    difference.cost_eur,
    difference.savings_eur,
    if(by_setting, present.report_month, former.report_month) AS month_then,
    if(by_setting, settled.report_month, present.report_month) AS month_now,
FROM differences AS difference
LEFT JOIN listed_then AS row_then USING (electric_vehicle_id, id)
LEFT JOIN listed_meanwhile AS row_now USING (electric_vehicle_id, id)
LEFT JOIN unusable_then USING (electric_vehicle_id, id)
LEFT JOIN unusable_now USING (electric_vehicle_id, id)
LEFT JOIN accepted_then AS former USING (electric_vehicle_id, id)
LEFT JOIN accepted_meanwhile AS present USING (electric_vehicle_id, id)
LEFT JOIN accepted_now AS settled USING (electric_vehicle_id, id)
WHERE difference.sessions <> 0
    OR difference.energy_kwh <> 0
    OR difference.cost_eur <> 0
    OR difference.savings_eur <> 0;
