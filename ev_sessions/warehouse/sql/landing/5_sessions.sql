-- The rows themselves. The days narrow the search for those that leave to the row groups that hold them.

-- Rows that stood and do so no longer, or not as they did. Of one that was seen again, unchanged, before it was lost, the version
-- goes on: it has no end here.
CREATE OR REPLACE TEMP TABLE former AS
SELECT session.*, ending.replaced_at, ending.end_reason
FROM raw.sessions AS session
JOIN (
    FROM ended
    UNION ALL BY NAME
    SELECT electric_vehicle_id, id, former_day AS session_day, NULL AS replaced_at, NULL AS end_reason
    FROM fresh
    WHERE stood AND NOT restated AND superseded_at IS NOT NULL
) AS ending
    ON ending.session_day = session.session_day
    AND ending.electric_vehicle_id = session.electric_vehicle_id
    AND ending.id = session.id;

CREATE OR REPLACE TEMP TABLE restatements AS
SELECT
    former.electric_vehicle_id,
    former.id,
    fresh.session_day,
    fresh.superseded_at,
    session.energy_charged_kwh,
    session.actual_cost_eur,
    session.actual_savings_eur,
    {changed_fields} AS changed_fields
FROM read_parquet($sessions, union_by_name = true) AS session
JOIN fresh ON fresh.part = session.file_index AND fresh.part_row = session.file_row_number
JOIN former ON former.electric_vehicle_id = fresh.electric_vehicle_id AND former.id = fresh.id
WHERE fresh.restated;

INSERT INTO raw.session_versions BY NAME
SELECT former.*, $run_id AS replaced_by_run_id, restatement.changed_fields
FROM former
LEFT JOIN restatements AS restatement USING (electric_vehicle_id, id)
WHERE former.end_reason IS NOT NULL;

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
