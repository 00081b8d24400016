-- What the parts hold. Ids travel as text in them, everything else in the tables' types.

CREATE OR REPLACE TEMP TABLE staged_reads AS
SELECT DISTINCT ON (electric_vehicle_id, first_day, last_day, fetched_at)
    read.* REPLACE (
        read.org_id::UUID AS org_id,
        read.user_id::UUID AS user_id,
        read.electric_vehicle_id::UUID AS electric_vehicle_id
    ),
    known.fetched_at IS NOT NULL AS in_ledger,
    read.outcome IN ('complete', 'count_mismatch') AND NOT in_ledger AS landable
FROM read_parquet($reads, union_by_name = true) AS read
LEFT JOIN raw.fetches AS known
    ON known.electric_vehicle_id = read.electric_vehicle_id::UUID
    AND known.first_day = read.first_day
    AND known.last_day = read.last_day
    AND known.fetched_at = read.fetched_at;

-- Every row of every answer: which session, where it stands, and where in the parts the rest of it is. The hash is taken over
-- the values as they will be stored. Nulls are empty and text is quoted, so that no two contents look the same.
CREATE OR REPLACE TEMP TABLE sightings AS
SELECT
    electric_vehicle_id::UUID AS electric_vehicle_id,
    id::UUID AS id,
    user_id::UUID AS user_id,
    session_day,
    fetched_at,
    filename AS part,
    file_row_number AS part_row,
    md5(concat(
        id::UUID,
        '|', epoch_us(plug_in_time),
        '|', epoch_us(unplug_time),
        '|', epoch_us(inferred_session_end),
        '|', epoch_us(desired_charging_start_time),
        '|', epoch_us(desired_charging_end_time),
        '|', epoch_us(charge_deadline),
        '|', target_soc_pct::DECIMAL(18, 6),
        '|', initial_soc_pct::DECIMAL(18, 6),
        '|', final_soc_pct::DECIMAL(18, 6),
        '|', energy_charged_kwh::DECIMAL(18, 6),
        '|', avg_charge_power_kw::DECIMAL(18, 6),
        '|', peak_charge_power_kw::DECIMAL(18, 6),
        '|', actual_cost_eur::DECIMAL(18, 6),
        '|', expected_savings_eur::DECIMAL(18, 6),
        '|', actual_savings_eur::DECIMAL(18, 6),
        '|', is_at_home,
        '|', '"' || replace(session_outcome, '"', '""') || '"',
        '|', '"' || replace(extra, '"', '""') || '"'
    )) AS content_hash
FROM read_parquet($sessions, union_by_name = true, filename = true, file_row_number = true) AS session
WHERE (session.electric_vehicle_id::UUID, session.fetched_at) IN (
    SELECT (electric_vehicle_id, fetched_at) FROM staged_reads WHERE landable
);

CREATE OR REPLACE TEMP TABLE rejections AS
SELECT DISTINCT ON (electric_vehicle_id, record_key, fetched_at)
    record.* REPLACE (
        record.org_id::UUID AS org_id,
        record.user_id::UUID AS user_id,
        record.electric_vehicle_id::UUID AS electric_vehicle_id
    ),
    try_cast(record_key AS UUID) AS session_id
FROM read_parquet($rejected, union_by_name = true) AS record
WHERE (record.electric_vehicle_id::UUID, record.fetched_at) IN (
    SELECT (electric_vehicle_id, fetched_at) FROM staged_reads WHERE landable
);
