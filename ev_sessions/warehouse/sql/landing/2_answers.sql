-- What the answers say that are new to the ledger. One that landed before has said all it had to say.

CREATE OR REPLACE TEMP TABLE new_reads AS
SELECT *
FROM staged_reads
ANTI JOIN (
    SELECT electric_vehicle_id, first_day, last_day, fetched_at
    FROM raw.fetches
    WHERE fetched_at BETWEEN $earliest_read AND $latest_read
) USING (electric_vehicle_id, first_day, last_day, fetched_at);

-- Every row of every answer: which session, where it stands, and where in the parts the rest of it is, which stays there until
-- it is needed. The hash is taken over the values as they will be stored. Nulls are empty and text is quoted, so that no two
-- contents look the same.
CREATE OR REPLACE TEMP TABLE sightings AS
SELECT
    electric_vehicle_id::UUID AS electric_vehicle_id,
    id::UUID AS id,
    session_day,
    fetched_at,
    file_index::UINTEGER AS part,
    file_row_number::UINTEGER AS part_row,
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
FROM read_parquet($sessions, union_by_name = true) AS session
WHERE (session.electric_vehicle_id::UUID, session.fetched_at) IN (
    SELECT (electric_vehicle_id, fetched_at) FROM new_reads WHERE good
);

CREATE OR REPLACE TEMP TABLE rejections AS
SELECT DISTINCT ON (electric_vehicle_id, record_key, fetched_at)
    record.* REPLACE (
        record.org_id::UUID AS org_id,
        record.user_id::UUID AS user_id,
        record.electric_vehicle_id::UUID AS electric_vehicle_id,
        record.session_id::UUID AS session_id
    )
FROM read_parquet($rejected, union_by_name = true) AS record
WHERE (record.electric_vehicle_id::UUID, record.fetched_at) IN (
    SELECT (electric_vehicle_id, fetched_at) FROM new_reads WHERE good
);
