-- The days of asked_days in {table}, made afresh; in the order of the days, so that a later look at a few need not scan the rest.
DELETE FROM {table}
WHERE session_day IN (SELECT session_day FROM asked_days);

INSERT INTO {table} BY NAME
SELECT
    *,
    $derived_at AS derived_at,
    $run_id AS derived_by_run_id,
FROM (
{model}
)
ORDER BY session_day
