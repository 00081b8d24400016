-- What the landing did, and how the days of its windows stand after it.

-- Rows that are no longer listed, by the day on which they stood. One that is sent in a form that cannot be used is listed still.
CREATE OR REPLACE TEMP TABLE lost AS
SELECT session_day, energy_charged_kwh, actual_cost_eur, actual_savings_eur
FROM former
ANTI JOIN (FROM fresh WHERE superseded_at IS NULL) USING (electric_vehicle_id, id)
ANTI JOIN entering ON entering.electric_vehicle_id = former.electric_vehicle_id AND entering.session_id = former.id;

-- What restating did to the sums of each day. A row that moved takes what it was from one day and brings what it is to another.
CREATE OR REPLACE TEMP TABLE effects AS
SELECT
    session_day,
    sum(energy_charged_kwh) AS restated_kwh,
    sum(actual_cost_eur) AS restated_cost_eur,
    sum(actual_savings_eur) AS restated_savings_eur
FROM (
    SELECT session_day, energy_charged_kwh, actual_cost_eur, actual_savings_eur
    FROM restatements
    WHERE superseded_at IS NULL
    UNION ALL
    SELECT former.session_day, -former.energy_charged_kwh, -former.actual_cost_eur, -former.actual_savings_eur
    FROM former
    SEMI JOIN (FROM restatements WHERE superseded_at IS NULL) USING (electric_vehicle_id, id)
)
GROUP BY session_day;

CREATE OR REPLACE TEMP TABLE landing_counts AS
WITH overtaken_days AS (
    SELECT
        read.*,
        unnest(generate_series(
            greatest(read.first_day, later.first_day), least(read.last_day, later.last_day), INTERVAL 1 DAY
        )) AS day
    FROM new_reads AS read
    JOIN later_reads AS later
        ON later.electric_vehicle_id = read.electric_vehicle_id
        AND later.first_day <= read.last_day
        AND later.last_day >= read.first_day
        AND later.fetched_at > read.fetched_at
    WHERE read.good
), stale AS (
    SELECT electric_vehicle_id
    FROM overtaken_days
    GROUP BY electric_vehicle_id, first_day, last_day, fetched_at
    HAVING count(DISTINCT day) = last_day - first_day + 1
    UNION ALL
    SELECT electric_vehicle_id
    FROM staged_reads
    ANTI JOIN new_reads USING (electric_vehicle_id, first_day, last_day, fetched_at)
    WHERE good
)
SELECT
    (SELECT count(*) FROM fresh WHERE superseded_at IS NULL) AS landed_rows,
    (SELECT count(*) FROM fresh WHERE superseded_at IS NULL AND restated) AS restated,
    (SELECT count(*) FROM lost) AS vanished,
    (SELECT count(*) FROM fresh WHERE superseded_at IS NULL AND former_day <> session_day) AS moved,
    (SELECT count(*) FROM entering) AS quarantined,
    (SELECT count(DISTINCT electric_vehicle_id) FROM held_reads) AS held_vehicles,
    (SELECT count(*) FROM stale) AS stale_reads,
    (SELECT coalesce(sum(restated_kwh), 0) FROM effects) AS restated_kwh,
    (SELECT coalesce(sum(restated_cost_eur), 0) FROM effects) AS restated_cost_eur,
    (SELECT coalesce(sum(restated_savings_eur), 0) FROM effects) AS restated_savings_eur,
    (SELECT coalesce(sum(energy_charged_kwh), 0) FROM lost) AS vanished_kwh,
    (SELECT coalesce(sum(actual_cost_eur), 0) FROM lost) AS vanished_cost_eur,
    (SELECT coalesce(sum(actual_savings_eur), 0) FROM lost) AS vanished_savings_eur;

CREATE OR REPLACE TEMP TABLE day_figures AS
WITH days AS (
    SELECT DISTINCT unnest(generate_series(first_day, last_day, INTERVAL 1 DAY))::DATE AS day
    FROM staged_reads
), totals AS (
    SELECT
        session_day AS day,
        count(*) AS rows,
        sum(energy_charged_kwh) AS energy_kwh,
        sum(actual_cost_eur) AS cost_eur,
        sum(actual_savings_eur) AS savings_eur
    FROM raw.sessions
    WHERE session_day BETWEEN $first_day AND $last_day
    GROUP BY session_day
), latest_reads AS (
    SELECT day, electric_vehicle_id, arg_max(outcome, fetched_at) AS outcome
    FROM days
    JOIN raw.fetches ON day BETWEEN first_day AND last_day
    WHERE first_day <= $last_day AND last_day >= $first_day
    GROUP BY day, electric_vehicle_id
), vehicles AS (
    SELECT
        day,
        count(*) FILTER (is_answer(outcome)) AS vehicles_read,
        count(*) FILTER (outcome IN ('failed', 'held')) AS vehicles_failed
    FROM latest_reads
    GROUP BY day
), changes AS (
    SELECT session_day AS day, count(*) AS changed_rows
    FROM fresh
    WHERE superseded_at IS NULL AND restated
    GROUP BY session_day
), losses AS (
    SELECT
        session_day AS day,
        count(*) AS vanished_rows,
        sum(energy_charged_kwh) AS vanished_kwh,
        sum(actual_cost_eur) AS vanished_cost_eur,
        sum(actual_savings_eur) AS vanished_savings_eur
    FROM lost
    GROUP BY session_day
), quarantine AS (
    SELECT day, count(*) AS quarantined
    FROM days
    JOIN raw.quarantine ON day BETWEEN first_day AND last_day
    GROUP BY day
)
SELECT
    day,
    coalesce(rows, 0) AS rows,
    coalesce(vehicles_read, 0) AS vehicles_read,
    coalesce(vehicles_failed, 0) AS vehicles_failed,
    energy_kwh,
    cost_eur,
    savings_eur,
    coalesce(changed_rows, 0) AS changed_rows,
    coalesce(vanished_rows, 0) AS vanished_rows,
    coalesce(quarantined, 0) AS quarantined,
    coalesce(restated_kwh, 0) AS restated_kwh,
    coalesce(restated_cost_eur, 0) AS restated_cost_eur,
    coalesce(restated_savings_eur, 0) AS restated_savings_eur,
    coalesce(vanished_kwh, 0) AS vanished_kwh,
    coalesce(vanished_cost_eur, 0) AS vanished_cost_eur,
    coalesce(vanished_savings_eur, 0) AS vanished_savings_eur
FROM days
LEFT JOIN totals USING (day)
LEFT JOIN vehicles USING (day)
LEFT JOIN changes USING (day)
LEFT JOIN losses USING (day)
LEFT JOIN effects ON effects.session_day = day
LEFT JOIN quarantine USING (day)
ORDER BY day;
