-- Records that cannot be used: they come with the answer that brings them and go with the newer one that mends them. What stands in
-- raw.sessions and breaks a rule is judged when its day is derived.

-- What stands in raw.sessions now, of the ids concerned.
CREATE OR REPLACE TEMP TABLE present AS
SELECT electric_vehicle_id, id, session_day
FROM standing
ANTI JOIN leaving USING (electric_vehicle_id, id)
UNION ALL
SELECT electric_vehicle_id, id, session_day
FROM fresh
WHERE superseded_at IS NULL;

CREATE OR REPLACE TEMP TABLE entering AS
SELECT rejection.*, least(rejection.fetched_at, known.first_seen_at) AS first_seen_at
FROM rejections AS rejection
LEFT JOIN raw.quarantine AS known USING (electric_vehicle_id, record_key)
WHERE (known.fetched_at IS NULL OR known.fetched_at < rejection.fetched_at OR known.in_sessions)
    AND NOT EXISTS (
        FROM (
            SELECT electric_vehicle_id, id, fetched_at FROM sightings
            UNION ALL
            SELECT electric_vehicle_id, id, fetched_at FROM standing
            UNION ALL
            SELECT electric_vehicle_id, id, fetched_at FROM departed
        ) AS in_order
        WHERE in_order.electric_vehicle_id = rejection.electric_vehicle_id
            AND in_order.id = rejection.session_id
            AND in_order.fetched_at > rejection.fetched_at
    )
    -- An answer about other days says nothing of a session that stands on its own.
    AND NOT EXISTS (
        FROM present
        WHERE rejection.reasons[1] LIKE 'outside_window:%'
            AND present.electric_vehicle_id = rejection.electric_vehicle_id
            AND present.id = rejection.session_id
            AND present.session_day NOT BETWEEN rejection.first_day AND rejection.last_day
    )
    AND NOT EXISTS (
        FROM later_reads AS later
        WHERE later.electric_vehicle_id = rejection.electric_vehicle_id
            AND later.first_day <= rejection.first_day
            AND later.last_day >= rejection.last_day
            AND later.fetched_at > rejection.fetched_at
    );

CREATE OR REPLACE TEMP TABLE mended AS
SELECT electric_vehicle_id, record_key, min(left_at) AS left_at
FROM (
    SELECT entry.electric_vehicle_id, entry.record_key, read.fetched_at AS left_at
    FROM raw.quarantine AS entry
    JOIN landing_reads AS read
        ON read.electric_vehicle_id = entry.electric_vehicle_id
        AND read.first_day <= entry.first_day
        AND read.last_day >= entry.last_day
        AND read.fetched_at > entry.fetched_at
    WHERE NOT entry.in_sessions
    UNION ALL
    SELECT entry.electric_vehicle_id, entry.record_key, fresh.fetched_at
    FROM raw.quarantine AS entry
    JOIN fresh
        ON fresh.electric_vehicle_id = entry.electric_vehicle_id
        AND fresh.id = try_cast(entry.record_key AS UUID)
    WHERE NOT entry.in_sessions
        AND (
            fresh.fetched_at > entry.fetched_at
            OR (
                entry.reasons[1] LIKE 'outside_window:%'
                AND fresh.superseded_at IS NULL
                AND fresh.session_day NOT BETWEEN entry.first_day AND entry.last_day
            )
        )
)
GROUP BY ALL;

-- Rule 2: the same id under two vehicles. Both rows stay in raw.sessions, and both are listed here.
CREATE OR REPLACE TEMP TABLE clashing AS
SELECT electric_vehicle_id, id, session_day
FROM present
QUALIFY count(*) OVER (PARTITION BY id) > 1;

-- To tell afterwards which rows came under quarantine or out of it.
CREATE OR REPLACE TEMP TABLE quarantined_before AS
SELECT electric_vehicle_id, try_cast(record_key AS UUID) AS id, in_sessions, reasons[1] LIKE 'id_of_two_vehicles:%' AS clashes
FROM raw.quarantine
SEMI JOIN concerned ON concerned.id = try_cast(record_key AS UUID);

-- A record whose own day is unknown counts on the first of its days. Where that was, it counts no more.
CREATE OR REPLACE TEMP TABLE uncounted AS
SELECT entry.first_day AS session_day
FROM raw.quarantine AS entry
LEFT JOIN entering USING (electric_vehicle_id, record_key)
LEFT JOIN mended USING (electric_vehicle_id, record_key)
WHERE entry.first_day < entry.last_day
    AND if(entering.record_key IS NULL, mended.record_key IS NOT NULL, entering.first_day <> entry.first_day);

-- What was sent stays, also where the API sends it in another form that cannot be used either.
INSERT INTO raw.quarantine_past BY NAME
SELECT
    entry.* EXCLUDE (in_sessions),
    coalesce(entering.fetched_at, mended.left_at) AS left_at,
    $run_id AS left_by_run_id
FROM raw.quarantine AS entry
LEFT JOIN entering USING (electric_vehicle_id, record_key)
LEFT JOIN mended USING (electric_vehicle_id, record_key)
WHERE NOT entry.in_sessions
    AND if(entering.record_key IS NULL, mended.record_key IS NOT NULL, entering.payload <> entry.payload);

DELETE FROM raw.quarantine AS entry
USING (
    SELECT electric_vehicle_id, record_key FROM entering
    UNION SELECT electric_vehicle_id, record_key FROM mended
) AS gone
WHERE gone.electric_vehicle_id = entry.electric_vehicle_id AND gone.record_key = entry.record_key;

INSERT INTO raw.quarantine BY NAME
SELECT * EXCLUDE (session_id), false AS in_sessions, $run_id AS run_id
FROM entering;

-- Of the other records, which stand in raw.sessions, only this rule is decided here: it stands before all reasons that deriving
-- finds. A row that is read again, or goes to another day, takes its entry along.
CREATE OR REPLACE TEMP TABLE listed AS
SELECT
    electric_vehicle_id,
    id,
    record_key,
    session_day,
    fresh.fetched_at,
    array_to_string(reasons, ' ') LIKE '%in_the_future:%' AS in_the_future
FROM fresh
JOIN (
    SELECT electric_vehicle_id, try_cast(record_key AS UUID) AS id, record_key, reasons FROM raw.quarantine WHERE in_sessions
) AS entry USING (electric_vehicle_id, id)
WHERE superseded_at IS NULL;

UPDATE raw.quarantine AS entry
SET first_day = session_day, last_day = session_day, fetched_at = listed.fetched_at, run_id = $run_id
FROM listed
WHERE entry.electric_vehicle_id = listed.electric_vehicle_id AND entry.record_key = listed.record_key;

UPDATE raw.quarantine AS entry
SET reasons = reasons[2:]
FROM concerned
WHERE entry.in_sessions
    AND entry.reasons[1] LIKE 'id_of_two_vehicles:%'
    AND try_cast(entry.record_key AS UUID) = concerned.id;

UPDATE raw.quarantine AS entry
SET reasons = ['{id_of_two_vehicles}'] || reasons
FROM clashing
WHERE entry.in_sessions
    AND entry.electric_vehicle_id = clashing.electric_vehicle_id
    AND entry.record_key = clashing.id::VARCHAR;

DELETE FROM raw.quarantine
WHERE in_sessions AND len(reasons) = 0;

INSERT INTO raw.quarantine BY NAME
SELECT
    session.org_id,
    session.user_id,
    session.electric_vehicle_id,
    session.id::VARCHAR AS record_key,
    true AS in_sessions,
    ['{id_of_two_vehicles}'] AS reasons,
    {payload} AS payload,
    session.session_day AS first_day,
    session.session_day AS last_day,
    session.first_seen_at,
    session.fetched_at,
    session.run_id,
FROM raw.sessions AS session
JOIN clashing
    ON clashing.session_day = session.session_day
    AND clashing.electric_vehicle_id = session.electric_vehicle_id
    AND clashing.id = session.id
ANTI JOIN raw.quarantine AS entry
    ON entry.electric_vehicle_id = session.electric_vehicle_id
    AND entry.record_key = session.id::VARCHAR;
