-- The month $report_month of analytics.monthly_savings, made afresh; its mark goes. The last statement gives MonthFigures.
-- Its sessions are found by the table month_days; the measures of its customers are those of models/measures.sql.
CREATE OR REPLACE TEMP TABLE asked_months AS
SELECT $report_month::DATE AS report_month;

CREATE OR REPLACE TEMP TABLE month_days AS
{month_days};

DELETE FROM analytics.monthly_savings
WHERE report_month = $report_month;

INSERT INTO analytics.monthly_savings BY NAME
WITH standing AS (
    SELECT bool_and(is_final) AS is_final, min(data_through) AS data_through FROM month_days
),
owned AS (
    SELECT org_id, user_id, count(DISTINCT electric_vehicle_id) AS vehicles
    FROM {rows}
    GROUP BY org_id, user_id
)
SELECT
    $report_month::DATE AS report_month,
    measures.*,
    vehicles,
    is_final,
    data_through,
    $derived_at AS derived_at,
    $run_id AS derived_by_run_id,
FROM (
{measures}
) AS measures
JOIN owned USING (org_id, user_id)
CROSS JOIN standing;

DELETE FROM raw.touched_months
WHERE report_month = $report_month;

SELECT
    $report_month::DATE AS report_month,
    count(*) AS customers,
    coalesce(sum(sessions), 0)::BIGINT AS sessions,
    sum(energy_kwh) AS energy_kwh,
    sum(cost_eur) AS cost_eur,
    sum(savings_eur) AS savings_eur,
    ratio(sum(savings_with_cost_eur), sum(counterfactual_eur)) AS savings_rate,
    coalesce(bool_and(is_final), false) AS is_final,
    min(data_through) AS data_through,
FROM analytics.monthly_savings
WHERE report_month = $report_month;
