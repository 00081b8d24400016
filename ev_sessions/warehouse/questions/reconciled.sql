-- The newest reconciliation of each vehicle (null: the organisation) and month, of the $months newest months: how many ended how,
-- and the sums of those that could be compared.
WITH newest AS (
    FROM raw.reconciliations
    WHERE report_month > (SELECT max(report_month) FROM raw.reconciliations) - to_months($months)
    QUALIFY row_number() OVER (PARTITION BY org_id, electric_vehicle_id, report_month ORDER BY asked_at DESC) = 1
)
SELECT
    outcome,
    count(*) AS months,
    count(DISTINCT electric_vehicle_id) AS vehicles,
    sum(energy_kwh) FILTER (api_energy_kwh IS NOT NULL) AS energy_kwh,
    sum(api_energy_kwh) AS api_energy_kwh,
    sum(savings_eur) FILTER (api_savings_eur IS NOT NULL) AS savings_eur,
    sum(api_savings_eur) AS api_savings_eur,
    any_value(cause) AS cause,
FROM newest
WHERE (electric_vehicle_id IS NULL) = $in_total
GROUP BY outcome
ORDER BY outcome
