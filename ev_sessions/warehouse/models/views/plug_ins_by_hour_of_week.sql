SELECT
    report_month,
    org_id,
    price_zone,
    weekday,
    hour,
    is_final,
    data_through,
    sessions,
    sessions_with_energy,
    energy_kwh,
FROM (
    SELECT
        report_month,
        org_id,
        price_zone,
        isodow(plugged_in_at) AS weekday,
        hour(plugged_in_at) AS hour,
        count(*) AS sessions,
        count(energy_charged_kwh) AS sessions_with_energy,
        sum(energy_charged_kwh) AS energy_kwh,
    FROM (
        SELECT
            date_trunc('month', report_date)::DATE AS report_month,
            org_id,
            price_zone,
            plug_in_time AT TIME ZONE time_zone AS plugged_in_at,
            energy_charged_kwh,
        FROM analytics.sessions
    )
    GROUP BY ALL
)
JOIN (
{standing}
) AS standing USING (report_month)
