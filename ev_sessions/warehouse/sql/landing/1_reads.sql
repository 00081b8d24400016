-- The reads that the parts hold, as far as deciding needs them. Ids travel as text in the parts.

CREATE OR REPLACE TEMP TABLE staged_reads AS
SELECT DISTINCT
    user_id::UUID AS user_id,
    electric_vehicle_id::UUID AS electric_vehicle_id,
    first_day,
    last_day,
    fetched_at,
    has_list(outcome) AS good
FROM read_parquet($reads, union_by_name = true);
