-- One of the steps, of the sessions in question: those that are listed in its rows, and those that no error rule keeps out, with
-- their month and figures, by the very model of analytics.sessions.
CREATE OR REPLACE TEMP TABLE listed_{step} AS
SELECT electric_vehicle_id, id
FROM ({rows})
SEMI JOIN stays USING (electric_vehicle_id, id);

CREATE OR REPLACE TEMP TABLE judged AS
{judged};

CREATE OR REPLACE TEMP TABLE kept_out AS
SELECT electric_vehicle_id, id::VARCHAR AS record_key FROM judged WHERE len(errors) > 0
UNION
SELECT electric_vehicle_id, id::VARCHAR AS record_key
FROM ({rows})
WHERE id IN (SELECT id FROM ({rows}) WHERE id IN (SELECT id FROM stays) GROUP BY id HAVING count(*) > 1)
UNION
-- What came in a form that cannot be used; when an entry has gone, nobody knows that it was there.
SELECT electric_vehicle_id, record_key FROM raw.quarantine WHERE NOT in_sessions AND first_seen_at <= $known_at;

CREATE OR REPLACE TEMP TABLE accepted_{step} AS
SELECT
    electric_vehicle_id,
    id,
    org_id,
    user_id,
    date_trunc('month', report_date)::DATE AS report_month,
    energy_charged_kwh::DECIMAL(38, 6) AS energy_kwh,
    actual_cost_eur::DECIMAL(38, 6) AS cost_eur,
    actual_savings_eur::DECIMAL(38, 6) AS savings_eur,
FROM (
{sessions}
)
SEMI JOIN stays USING (electric_vehicle_id, id);
