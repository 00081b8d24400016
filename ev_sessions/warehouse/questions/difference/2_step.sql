-- One of the steps, of the sessions in question: those that are listed in its rows, and those that no error rule keeps out, with
-- their month and figures, by the very model of analytics.sessions.
CREATE OR REPLACE TEMP TABLE listed_{step} AS
SELECT electric_vehicle_id, id
FROM ({rows})
SEMI JOIN stays USING (electric_vehicle_id, id);

-- What the landing kept out: ids under two vehicles, and what came in a form that cannot be used. Of now, quarantine also knows
-- clashes with rows far from here.
CREATE OR REPLACE TEMP TABLE unusable AS
SELECT electric_vehicle_id, id
FROM ({rows})
WHERE id IN (SELECT id FROM ({rows}) GROUP BY id HAVING count(*) > 1)
UNION
SELECT electric_vehicle_id, session_id
FROM raw.quarantine
WHERE first_seen_at <= $known_at
    AND (NOT in_sessions OR (rules[1] = 'id_of_two_vehicles' AND $known_at::TIMESTAMPTZ = 'infinity'))
UNION
SELECT electric_vehicle_id, session_id
FROM raw.quarantine_past
WHERE first_seen_at <= $known_at AND left_at > $known_at;

CREATE OR REPLACE TEMP TABLE judged AS
{judged};

CREATE OR REPLACE TEMP TABLE kept_out AS
SELECT electric_vehicle_id, id AS session_id FROM judged WHERE len(errors) > 0
UNION
SELECT electric_vehicle_id, id FROM unusable;

CREATE OR REPLACE TEMP TABLE accepted_{step} AS
SELECT
    electric_vehicle_id,
    id,
    user_id,
    date_trunc('month', report_date)::DATE AS report_month,
    energy_charged_kwh::DECIMAL(38, 6) AS energy_kwh,
    actual_cost_eur::DECIMAL(38, 6) AS cost_eur,
    actual_savings_eur::DECIMAL(38, 6) AS savings_eur,
FROM (
{sessions}
)
SEMI JOIN stays USING (electric_vehicle_id, id);
