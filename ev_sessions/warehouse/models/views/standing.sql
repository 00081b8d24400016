-- How far each {unit} of the report date is read. It stands on its own days and on those whose sessions report to it.
SELECT
    report_{unit},
    count(*) FILTER (is_own) AS days_derived,
    bool_and(is_final) AND days_derived = date_diff('day', report_{unit}, (report_{unit} + INTERVAL 1 {unit})::DATE) AS is_final,
    min(data_through) AS data_through,
    ratio(sum(sessions_accepted) FILTER (is_own), sum(sessions_listed) FILTER (is_own)) AS listed_coverage,
FROM (
    SELECT DISTINCT report_{unit}, session_day, date_trunc('{unit}', session_day)::DATE = report_{unit} AS is_own
    FROM (
        SELECT date_trunc('{unit}', session_day)::DATE AS report_{unit}, session_day
        FROM analytics.fleet_daily
        UNION ALL
        SELECT date_trunc('{unit}', report_date)::DATE AS report_{unit}, session_day
        FROM analytics.daily_savings
    )
)
JOIN analytics.fleet_daily USING (session_day)
GROUP BY report_{unit}
