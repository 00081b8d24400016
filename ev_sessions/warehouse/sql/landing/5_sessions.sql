-- The rows themselves. The days narrow the search for those that leave to the row groups that hold them.

INSERT INTO raw.session_versions BY NAME
SELECT session.*, ended.replaced_at, $run_id AS replaced_by_run_id, ended.end_reason
FROM raw.sessions AS session
JOIN ended
    ON ended.session_day = session.session_day
    AND ended.electric_vehicle_id = session.electric_vehicle_id
    AND ended.id = session.id;

DELETE FROM raw.sessions AS session
USING leaving
WHERE leaving.session_day = session.session_day
    AND leaving.electric_vehicle_id = session.electric_vehicle_id
    AND leaving.id = session.id;

INSERT INTO raw.session_versions BY NAME
SELECT
    session.*,
    fresh.content_hash,
    fresh.version,
    fresh.first_seen_at,
    fresh.valid_from,
    fresh.price_zone,
    fresh.time_zone,
    $run_id AS run_id,
    fresh.superseded_at AS replaced_at,
    $run_id AS replaced_by_run_id,
    'superseded' AS end_reason
FROM read_parquet($sessions, union_by_name = true) AS session
JOIN fresh ON fresh.part = session.file_index AND fresh.part_row = session.file_row_number
WHERE fresh.superseded_at IS NOT NULL;

INSERT INTO raw.sessions BY NAME
SELECT
    session.*,
    fresh.content_hash,
    fresh.version,
    fresh.first_seen_at,
    fresh.valid_from,
    fresh.price_zone,
    fresh.time_zone,
    $run_id AS run_id
FROM read_parquet($sessions, union_by_name = true) AS session
JOIN fresh ON fresh.part = session.file_index AND fresh.part_row = session.file_row_number
WHERE fresh.superseded_at IS NULL;
