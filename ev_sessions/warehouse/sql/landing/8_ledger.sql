-- What was read.

INSERT INTO raw.fetches BY NAME
SELECT DISTINCT ON (new.electric_vehicle_id, read.first_day, read.last_day, read.fetched_at)
    read.* REPLACE (if(held.fetched_at IS NULL, read.outcome, 'held') AS outcome),
    $landed_at AS landed_at,
    $run_id AS run_id
FROM read_parquet($reads, union_by_name = true) AS read
JOIN new_reads AS new
    ON new.electric_vehicle_id = read.electric_vehicle_id::UUID
    AND new.first_day = read.first_day
    AND new.last_day = read.last_day
    AND new.fetched_at = read.fetched_at
LEFT JOIN held_reads AS held
    ON held.electric_vehicle_id = new.electric_vehicle_id
    AND held.first_day = new.first_day
    AND held.last_day = new.last_day
    AND held.fetched_at = new.fetched_at;

-- Of the good reads of one window the latest says all; of the answers that a vehicle is gone, too. The first of each UTC day stays
-- as well: since when a day is final is told by the first read on or after a certain day. Failures stay.
DELETE FROM raw.fetches AS read
USING (
    SELECT electric_vehicle_id, first_day, last_day, fetched_at
    FROM raw.fetches
    SEMI JOIN staged_reads USING (electric_vehicle_id, first_day, last_day)
    WHERE is_answer(outcome)
    QUALIFY fetched_at < max(fetched_at) OVER (PARTITION BY electric_vehicle_id, first_day, last_day, outcome = 'gone')
        AND fetched_at > min(fetched_at) OVER (
            PARTITION BY electric_vehicle_id, first_day, last_day, outcome, fetched_at::DATE
        )
) AS passed
WHERE read.electric_vehicle_id = passed.electric_vehicle_id
    AND read.first_day = passed.first_day
    AND read.last_day = passed.last_day
    AND read.fetched_at = passed.fetched_at;
