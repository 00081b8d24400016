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
-- A session that stood till now was of use till now, whatever kept it out.
SELECT rejection.*, least(rejection.fetched_at, if(known.in_sessions, NULL, known.first_seen_at)) AS first_seen_at
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
        WHERE rejection.rules[1] = 'outside_window'
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
        AND fresh.id = entry.session_id
    WHERE NOT entry.in_sessions
        AND (
            fresh.fetched_at > entry.fetched_at
            OR (
                entry.rules[1] = 'outside_window'
                AND fresh.superseded_at IS NULL
                AND fresh.session_day NOT BETWEEN entry.first_day AND entry.last_day
            )
        )
)
GROUP BY ALL;

-- Rule 2: the same id under two vehicles. Both rows stay in raw.sessions, and both are listed here.
CREATE OR REPLACE TEMP TABLE clashing AS
SELECT electric_vehicle_id, id, session_day, ['id_of_two_vehicles'] AS rules, ['{id_of_two_vehicles}'] AS reasons
FROM present
QUALIFY count(*) OVER (PARTITION BY id) > 1;

-- To tell afterwards which rows came under quarantine or out of it.
CREATE OR REPLACE TEMP TABLE quarantined_before AS
SELECT electric_vehicle_id, session_id AS id, in_sessions, rules[1] = 'id_of_two_vehicles' AS clashes
FROM raw.quarantine
SEMI JOIN concerned ON concerned.id = session_id;

-- The days that a record counts on no more. One whose own day is unknown counts on the first of its days.
CREATE OR REPLACE TEMP TABLE uncounted AS
SELECT entry.first_day AS session_day
FROM raw.quarantine AS entry
LEFT JOIN entering USING (electric_vehicle_id, record_key)
LEFT JOIN mended USING (electric_vehicle_id, record_key)
WHERE NOT entry.in_sessions
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
SELECT * EXCLUDE (session_day), false AS in_sessions, $run_id AS run_id
FROM entering;

-- What a newer answer had overtaken before it landed never stood in quarantine. It is kept as if it had.
INSERT INTO raw.quarantine_past BY NAME
SELECT record.* EXCLUDE (session_day), fetched_at AS first_seen_at, left_at, $run_id AS run_id, $run_id AS left_by_run_id
FROM brought AS record
JOIN (
    SELECT record.electric_vehicle_id, record.record_key, record.fetched_at, min(read.fetched_at) AS left_at
    FROM brought AS record
    JOIN later_reads AS read
        ON read.electric_vehicle_id = record.electric_vehicle_id
        AND read.first_day <= record.first_day
        AND read.last_day >= record.last_day
        AND read.fetched_at > record.fetched_at
    GROUP BY ALL
) USING (electric_vehicle_id, record_key, fetched_at)
ANTI JOIN (
    SELECT electric_vehicle_id, record_key, payload FROM raw.quarantine
    UNION ALL
    SELECT electric_vehicle_id, record_key, payload FROM raw.quarantine_past
) USING (electric_vehicle_id, record_key, payload)
WHERE rules[1] = 'malformed'
QUALIFY row_number() OVER (PARTITION BY electric_vehicle_id, record_key, payload ORDER BY fetched_at) = 1;

-- Of the other records, which stand in raw.sessions, only this rule is decided here: it stands before all reasons that deriving
-- finds. A row that is read again, or goes to another day, takes its entry along.
CREATE OR REPLACE TEMP TABLE listed AS
SELECT
    electric_vehicle_id,
    id,
    session_day,
    fresh.fetched_at,
    list_contains(rules, 'in_the_future') AS in_the_future
FROM fresh
JOIN (
    SELECT electric_vehicle_id, session_id AS id, rules FROM raw.quarantine WHERE in_sessions
) AS entry USING (electric_vehicle_id, id)
WHERE superseded_at IS NULL;

UPDATE raw.quarantine AS entry
SET first_day = session_day, last_day = session_day, fetched_at = listed.fetched_at, run_id = $run_id
FROM listed
WHERE entry.in_sessions AND entry.electric_vehicle_id = listed.electric_vehicle_id AND entry.session_id = listed.id;

UPDATE raw.quarantine AS entry
SET rules = rules[2:], reasons = reasons[2:]
FROM concerned
WHERE entry.in_sessions AND entry.rules[1] = 'id_of_two_vehicles' AND entry.session_id = concerned.id;

UPDATE raw.quarantine AS entry
SET rules = clashing.rules || entry.rules, reasons = clashing.reasons || entry.reasons
FROM clashing
WHERE entry.in_sessions AND entry.electric_vehicle_id = clashing.electric_vehicle_id AND entry.session_id = clashing.id;

DELETE FROM raw.quarantine
WHERE in_sessions AND len(rules) = 0;

CREATE OR REPLACE TEMP TABLE kept_out AS
FROM clashing
ANTI JOIN (SELECT electric_vehicle_id, session_id AS id FROM raw.quarantine) AS entry USING (electric_vehicle_id, id);

{into_quarantine};
