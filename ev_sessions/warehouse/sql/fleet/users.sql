-- A snapshot of the organisation's users. What a later snapshot said already stays as it is.

CREATE OR REPLACE TEMP TABLE listed_users AS
SELECT DISTINCT ON (listed.user_id)
    listed.* REPLACE (listed.org_id::UUID AS org_id, listed.user_id::UUID AS user_id),
    least(known.first_seen_at, $seen_at) AS first_seen_at,
    $seen_at AS last_seen_at,
    NULL::TIMESTAMPTZ AS missing_since,
    $run_id AS run_id,
    known.user_id IS NULL AS added
FROM snapshot AS listed
LEFT JOIN raw.users AS known ON known.user_id = listed.user_id::UUID
WHERE known.last_seen_at IS NULL OR known.last_seen_at <= $seen_at;

UPDATE raw.users
SET missing_since = $seen_at, run_id = $run_id
WHERE missing_since IS NULL
    AND last_seen_at < $seen_at
    AND org_id IN (SELECT org_id::UUID FROM snapshot)
    AND user_id NOT IN (SELECT user_id::UUID FROM snapshot);

DELETE FROM raw.users WHERE user_id IN (SELECT user_id FROM listed_users);

INSERT INTO raw.users BY NAME
SELECT * EXCLUDE (added)
FROM listed_users;

CREATE OR REPLACE TEMP TABLE fleet_change AS
SELECT
    count(*) AS rows,
    (SELECT count(*) FROM listed_users WHERE added) AS added,
    count(missing_since) AS missing
FROM raw.users;
