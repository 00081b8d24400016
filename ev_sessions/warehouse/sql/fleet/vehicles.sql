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
