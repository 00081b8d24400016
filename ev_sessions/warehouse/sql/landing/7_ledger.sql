-- What was read, and which days have to be derived again.

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
    WHERE outcome IN ('complete', 'count_mismatch', 'gone')
    QUALIFY fetched_at < max(fetched_at) OVER (PARTITION BY electric_vehicle_id, first_day, last_day, outcome = 'gone')
        AND fetched_at > min(fetched_at) OVER (
            PARTITION BY electric_vehicle_id, first_day, last_day, outcome, fetched_at::DATE
        )
) AS passed
WHERE read.electric_vehicle_id = passed.electric_vehicle_id
    AND read.first_day = passed.first_day
    AND read.last_day = passed.last_day
    AND read.fetched_at = passed.fetched_at;

CREATE OR REPLACE TEMP TABLE touched AS
SELECT session_day FROM ended
UNION
SELECT session_day
FROM fresh
JOIN landing_reads AS read USING (electric_vehicle_id, fetched_at)
WHERE superseded_at IS NULL
    AND (NOT stood OR restated OR former_day <> session_day OR former_user_id <> read.user_id)
UNION
SELECT former_day
FROM fresh
WHERE stood AND (superseded_at IS NOT NULL OR former_day <> session_day)
UNION
-- What is back, on whichever day, has not vanished from there.
SELECT vanished_from
FROM fresh
JOIN departed USING (electric_vehicle_id, id)
WHERE NOT stood AND superseded_at IS NULL AND vanished_from IS NOT NULL
UNION
SELECT session_day FROM uncounted
UNION
SELECT session_day FROM rewritten_days
UNION
-- Of these the verdict depends on when they were read.
SELECT session_day FROM listed WHERE in_the_future
UNION
-- Rows that stand as they did, but are now kept out of what is derived, or no longer, or in another way.
SELECT present.session_day
FROM (
    SELECT electric_vehicle_id, id, session_day FROM standing ANTI JOIN leaving USING (electric_vehicle_id, id)
    UNION ALL
    SELECT electric_vehicle_id, id, session_day FROM fresh WHERE superseded_at IS NULL
) AS present
JOIN (
    SELECT electric_vehicle_id, id
    FROM (
        FROM quarantined_before
        UNION ALL
        SELECT electric_vehicle_id, try_cast(record_key AS UUID), in_sessions, reasons[1] LIKE 'id_of_two_vehicles:%'
        FROM raw.quarantine
        SEMI JOIN concerned ON concerned.id = try_cast(record_key AS UUID)
    )
    GROUP BY electric_vehicle_id, id, in_sessions, clashes
    HAVING count(*) = 1
) AS changed USING (electric_vehicle_id, id);

-- Where a vehicle was plugged in, as far as that is new, or no longer so, or counts in another way.
CREATE OR REPLACE TEMP TABLE changed_stays AS
SELECT electric_vehicle_id, session_day, plug_in_time, coalesce(unplug_time, inferred_session_end) AS session_end
FROM former
UNION ALL
SELECT electric_vehicle_id, changed_day, plug_in_time, coalesce(unplug_time, inferred_session_end)
FROM raw.sessions
JOIN (
    SELECT electric_vehicle_id, id, session_day, unnest([session_day, former_day]) AS changed_day
    FROM fresh
    WHERE superseded_at IS NULL AND (NOT stood OR restated OR former_day <> session_day)
    UNION
    SELECT electric_vehicle_id, id, session_day, session_day FROM listed WHERE in_the_future
    UNION
    -- Which of two was seen first can be told anew.
    SELECT electric_vehicle_id, id, session_day, session_day FROM rewritten WHERE replaced_at IS NULL
) USING (session_day, electric_vehicle_id, id)
WHERE changed_day IS NOT NULL;

-- Sessions that such a stay overlaps, and those that follow it, can break other rules now.
INSERT INTO touched
WITH beside AS (
    SELECT
        stay.session_day AS changed_day,
        electric_vehicle_id,
        session.session_day,
        session.session_day > stay.session_day AS follows,
        kept_out.id IS NOT NULL AS kept_out,
        session.plug_in_time < stay.session_end
            AND stay.plug_in_time < coalesce(session.unplug_time, session.inferred_session_end) AS overlaps_it,
    FROM raw.sessions AS session
    JOIN changed_stays AS stay USING (electric_vehicle_id)
    LEFT JOIN (
        SELECT electric_vehicle_id, try_cast(record_key AS UUID) AS id FROM raw.quarantine WHERE in_sessions
    ) AS kept_out USING (electric_vehicle_id, id)
    WHERE abs(session.session_day - stay.session_day) <= {neighbour_days}
        AND session.session_day >= (SELECT min(session_day) - {neighbour_days} FROM changed_stays)
        AND session.session_day <= (SELECT max(session_day) + {neighbour_days} FROM changed_stays)
), following AS (
    SELECT electric_vehicle_id, changed_day, session_day, bool_and(kept_out) AS kept_out
    FROM beside
    WHERE follows
    GROUP BY ALL
)
FROM (
    SELECT session_day FROM beside WHERE overlaps_it
    UNION
    -- What is kept out comes between no two others.
    SELECT session_day
    FROM following
    QUALIFY session_day <= coalesce(
        min(session_day) FILTER (NOT kept_out) OVER (PARTITION BY electric_vehicle_id, changed_day), session_day
    )
)
EXCEPT
FROM touched;

DELETE FROM raw.touched_days WHERE session_day IN (FROM touched);

INSERT INTO raw.touched_days BY NAME
SELECT session_day, $landed_at AS touched_at, $run_id AS run_id
FROM touched;
