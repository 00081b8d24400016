-- The reads that the parts hold. Ids travel as text in the parts, everything else in the tables' types.

CREATE OR REPLACE TEMP TABLE staged_reads AS
SELECT DISTINCT ON (electric_vehicle_id, first_day, last_day, fetched_at)
    * REPLACE (
        org_id::UUID AS org_id,
        user_id::UUID AS user_id,
        electric_vehicle_id::UUID AS electric_vehicle_id
    )
FROM read_parquet($reads, union_by_name = true);
