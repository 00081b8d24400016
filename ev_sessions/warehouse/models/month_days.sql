-- The session days that the months of asked_months(report_month) stand on: their own, and those whose sessions they have.
-- The report dates in fleet_daily tell where to look, so that history is not searched.
WITH reported AS (
    SELECT DISTINCT date_trunc('month', report_date)::DATE AS report_month, session_day
    FROM analytics.daily_savings
    WHERE session_day IN (
        SELECT session_day
        FROM analytics.fleet_daily
        JOIN asked_months ON first_report_date <= last_day(report_month) AND last_report_date >= report_month
    )
)
SELECT report_month, session_day, coalesce(is_final, false) AS is_final, data_through
FROM (
    SELECT report_month, unnest(generate_series(report_month, last_day(report_month), INTERVAL 1 DAY))::DATE AS session_day
    FROM asked_months
    UNION
    SELECT report_month, session_day FROM reported SEMI JOIN asked_months USING (report_month)
)
LEFT JOIN analytics.fleet_daily USING (session_day)
