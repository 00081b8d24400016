-- A snapshot of the vehicles of some users. What a later snapshot said already stays as it is.

CREATE OR REPLACE TEMP TABLE listed_vehicles AS
SELECT DISTINCT ON (listed.electric_vehicle_id)
    listed.* REPLACE (
        listed.org_id::UUID AS org_id,
        listed.user_id::UUID AS user_id,
        listed.electric_vehicle_id::UUID AS electric_vehicle_id
    ),
    least(known.first_seen_at, $seen_at) AS first_seen_at,
    $seen_at AS last_seen_at,
    NULL::TIMESTAMPTZ AS missing_since,
    $run_id AS run_id,
    known.electric_vehicle_id IS NULL AS added
FROM snapshot AS listed
LEFT JOIN raw.vehicles AS known ON known.electric_vehicle_id = listed.electric_vehicle_id::UUID
WHERE known.last_seen_at IS NULL OR known.last_seen_at <= $seen_at
ORDER BY listed.electric_vehicle_id, listed.user_id;

UPDATE raw.vehicles
SET missing_since = $seen_at, run_id = $run_id
WHERE missing_since IS NULL
    AND last_seen_at < $seen_at
    AND (
        user_id IN (SELECT unnest($users_read::UUID[]))
        -- The vehicles of a user who is not listed any more are not asked for.
        OR user_id IN (SELECT user_id FROM raw.users WHERE missing_since IS NOT NULL)
    )
    AND electric_vehicle_id NOT IN (SELECT electric_vehicle_id::UUID FROM snapshot);

CREATE OR REPLACE TEMP TABLE changed_vehicles AS
SELECT
    electric_vehicle_id,
    (known.created_at, known.battery_capacity_kwh) IS DISTINCT FROM (listed.created_at, listed.battery_capacity_kwh)
        AS judged_otherwise,
    known.first_day,
    known.last_day,
    listed.first_day AS new_first_day,
    listed.last_day AS new_last_day,
FROM (
{listed}
) AS listed
JOIN (
{known}
) AS known USING (electric_vehicle_id)
WHERE judged_otherwise OR (known.first_day, known.last_day) <> (new_first_day, new_last_day);

-- What was derived of them no longer follows from what is known: rules look at a vehicle, and coverage at how long it lived.
-- The past of one that is new is nobody's yet; who reads it derives it.
INSERT INTO raw.touched_days BY NAME
SELECT session_day, $seen_at AS touched_at, $run_id AS run_id
FROM (
    SELECT session_day
    FROM raw.sessions
    SEMI JOIN (FROM changed_vehicles WHERE judged_otherwise) USING (electric_vehicle_id)
    UNION
    SELECT session_day
    FROM analytics.fleet_daily
    JOIN changed_vehicles ON (session_day BETWEEN first_day AND last_day) <> (session_day BETWEEN new_first_day AND new_last_day)
)
ANTI JOIN raw.touched_days USING (session_day);

DELETE FROM raw.vehicles WHERE electric_vehicle_id IN (SELECT electric_vehicle_id FROM listed_vehicles);

INSERT INTO raw.vehicles BY NAME
SELECT * EXCLUDE (added)
FROM listed_vehicles;

CREATE OR REPLACE TEMP TABLE fleet_change AS
SELECT
    count(*) AS rows,
    (SELECT count(*) FROM listed_vehicles WHERE added) AS added,
    count(missing_since) AS missing
FROM raw.vehicles;
