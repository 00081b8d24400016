-- Which days have to be derived again.

-- Rows that stand as they did, but are now kept out of what is derived, or no longer, or in another way.
CREATE OR REPLACE TEMP TABLE kept_otherwise AS
SELECT electric_vehicle_id, id, present.session_day
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
        SELECT electric_vehicle_id, session_id, in_sessions, rules[1] = 'id_of_two_vehicles'
        FROM raw.quarantine
        SEMI JOIN concerned ON concerned.id = session_id
    )
    GROUP BY electric_vehicle_id, id, in_sessions, clashes
    HAVING count(*) = 1
) AS changed USING (electric_vehicle_id, id);

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
SELECT session_day FROM kept_otherwise;

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
    UNION
    SELECT electric_vehicle_id, id, session_day, session_day FROM kept_otherwise
) USING (session_day, electric_vehicle_id, id)
WHERE changed_day IS NOT NULL;

-- Sessions that such a stay overlaps, directly or through others in between, and those that follow one of these, can break other
-- rules now: which of them is counted twice can depend on all of them.
INSERT INTO touched
WITH near AS (
    SELECT
        electric_vehicle_id,
        session_day,
        plug_in_time,
        coalesce(unplug_time, inferred_session_end) AS session_end,
        kept_out.id IS NULL AS counts,
        false AS changed,
    FROM raw.sessions
    LEFT JOIN (
        SELECT electric_vehicle_id, session_id AS id FROM raw.quarantine
    ) AS kept_out USING (electric_vehicle_id, id)
    WHERE electric_vehicle_id IN (SELECT electric_vehicle_id FROM changed_stays)
        AND session_day >= (SELECT min(session_day) - {reach_days} FROM changed_stays)
        AND session_day <= (SELECT max(session_day) + {reach_days} FROM changed_stays)
    UNION ALL
    SELECT electric_vehicle_id, session_day, plug_in_time, session_end, false AS counts, true AS changed
    FROM changed_stays
),
-- A new chain begins where all stays before have ended, or are too many days away.
chained AS (
    SELECT
        *,
        min(session_day) FILTER (counts) OVER (
            PARTITION BY electric_vehicle_id
            ORDER BY session_day
            RANGE BETWEEN INTERVAL 1 DAY FOLLOWING AND INTERVAL {neighbour_days} DAYS FOLLOWING
        ) AS next_day,
        sum(begins::INTEGER) OVER (stays ROWS UNBOUNDED PRECEDING) AS chain,
    FROM (
        SELECT
            *,
            (session_day + {neighbour_days} + 1)::TIMESTAMP AT TIME ZONE 'UTC' AS out_of_reach,
            coalesce(
                plug_in_time >= max(if(session_end > out_of_reach, out_of_reach, session_end))
                    OVER (stays ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
                true
            ) AS begins,
        FROM near
        WINDOW stays AS (PARTITION BY electric_vehicle_id ORDER BY plug_in_time, session_end)
    )
    WINDOW stays AS (PARTITION BY electric_vehicle_id ORDER BY plug_in_time, session_end, begins DESC)
),
concerned_stays AS (
    SELECT DISTINCT electric_vehicle_id, session_day, coalesce(next_day, session_day + {neighbour_days}) AS next_day
    FROM (FROM chained QUALIFY bool_or(changed) OVER (PARTITION BY electric_vehicle_id, chain))
)
FROM (
    -- What is kept out comes between no two others.
    SELECT DISTINCT near.session_day
    FROM near
    JOIN concerned_stays AS stay
        ON stay.electric_vehicle_id = near.electric_vehicle_id
        AND near.session_day BETWEEN stay.session_day AND stay.next_day
)
EXCEPT
FROM touched;

DELETE FROM raw.touched_days WHERE session_day IN (FROM touched);

INSERT INTO raw.touched_days BY NAME
SELECT session_day, $landed_at AS touched_at, $run_id AS run_id
FROM touched;
