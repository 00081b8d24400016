-- What the months' figures are made of, of the rows that stand on the days asked for: a month whose digest stays the same need
-- not be summed up again. The sum does not depend on the order of the rows. Needs the table asked_days(session_day).
SELECT
    date_trunc('month', report_date)::DATE AS report_month,
    sum(hash(
        electric_vehicle_id,
        id,
        org_id,
        user_id,
        energy_charged_kwh,
        actual_cost_eur,
        actual_savings_eur,
        expected_savings_eur
    )) AS digest,
FROM analytics.sessions
WHERE session_day IN (SELECT session_day FROM asked_days)
GROUP BY report_month
