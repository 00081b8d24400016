-- What becomes of every row. A session is where its newest sighting saw it, unless a newer read of that day no longer lists it.
-- This rule knows nothing of the order of landing: what an answer says counts from when it was read.

-- From here on `sightings` and `rejections` hold what lands: of each session and of each record the newest.
DELETE FROM sightings
USING held_reads AS held
WHERE held.electric_vehicle_id = sightings.electric_vehicle_id AND held.fetched_at = sightings.fetched_at;

CREATE OR REPLACE TEMP TABLE older_sightings AS
FROM sightings
SEMI JOIN (
    SELECT electric_vehicle_id, id FROM sightings GROUP BY ALL HAVING count(*) > 1
) USING (electric_vehicle_id, id)
QUALIFY row_number() OVER (
    PARTITION BY electric_vehicle_id, id ORDER BY fetched_at DESC, session_day, content_hash, part, part_row
) > 1;

DELETE FROM sightings
USING older_sightings AS older
WHERE older.part = sightings.part AND older.part_row = sightings.part_row;

DELETE FROM rejections
USING held_reads AS held
WHERE held.electric_vehicle_id = rejections.electric_vehicle_id AND held.fetched_at = rejections.fetched_at;

CREATE OR REPLACE TEMP TABLE brought AS
FROM rejections;

DELETE FROM rejections
USING (
    SELECT electric_vehicle_id, record_key, max(fetched_at) AS fetched_at FROM rejections GROUP BY ALL
) AS newest
WHERE newest.electric_vehicle_id = rejections.electric_vehicle_id
    AND newest.record_key = rejections.record_key
    AND newest.fetched_at > rejections.fetched_at;

-- Ids whose rows this landing can concern, wherever they stand and under whichever vehicle.
CREATE OR REPLACE TEMP TABLE concerned AS
SELECT id FROM sightings
UNION
SELECT session_id FROM rejections WHERE session_id IS NOT NULL
UNION
SELECT session_id
FROM raw.quarantine
SEMI JOIN landing_reads USING (electric_vehicle_id)
WHERE session_id IS NOT NULL AND (NOT in_sessions OR rules[1] = 'id_of_two_vehicles');

-- The one pass over the whole table reads no more than is needed to find the rows; then only the row groups that hold them.
CREATE OR REPLACE TEMP TABLE located AS
SELECT id, session_day
FROM raw.sessions
SEMI JOIN concerned USING (id);

CREATE OR REPLACE TEMP TABLE standing AS
SELECT
    electric_vehicle_id, id, user_id, session_day, fetched_at, content_hash, version, first_seen_at, valid_from, price_zone, time_zone
FROM raw.sessions
SEMI JOIN located USING (session_day, id);

CREATE OR REPLACE TEMP TABLE departed AS
SELECT
    electric_vehicle_id,
    id,
    max(fetched_at) AS fetched_at,
    max(version) AS version,
    max(replaced_at) AS replaced_at,
    min(first_seen_at) AS first_seen_at,
    arg_max_null(price_zone, fetched_at) AS price_zone,
    arg_max(time_zone, fetched_at) AS time_zone,
    arg_max(session_day, version) FILTER (end_reason = 'vanished') AS vanished_from
FROM raw.session_versions
SEMI JOIN concerned USING (id)
GROUP BY electric_vehicle_id, id;

-- Landed reads that may be newer than a staged one.
CREATE OR REPLACE TEMP TABLE later_reads AS
SELECT electric_vehicle_id, first_day, last_day, fetched_at
FROM raw.fetches
WHERE has_list(outcome) AND fetched_at >= $earliest_read
UNION
SELECT electric_vehicle_id, first_day, last_day, fetched_at
FROM landing_reads;

CREATE OR REPLACE TEMP TABLE overtaken AS
SELECT sighting.electric_vehicle_id, sighting.id, min(later.fetched_at) AS superseded_at
FROM sightings AS sighting
JOIN later_reads AS later
    ON later.electric_vehicle_id = sighting.electric_vehicle_id
    AND sighting.session_day BETWEEN later.first_day AND later.last_day
    AND sighting.fetched_at < later.fetched_at
GROUP BY ALL;

-- Sightings that say something new: where the row goes, and what it takes over from the one before it.
CREATE OR REPLACE TEMP TABLE fresh AS
SELECT
    sighting.*,
    overtaken.superseded_at,
    standing.id IS NOT NULL AS stood,
    standing.session_day AS former_day,
    standing.user_id AS former_user_id,
    stood AND standing.content_hash <> sighting.content_hash AS restated,
    CASE
        WHEN stood THEN standing.version + restated::BIGINT
        ELSE coalesce(departed.version, 0) + 1
    END AS version,
    least(sighting.fetched_at, standing.first_seen_at, departed.first_seen_at) AS first_seen_at,
    if(stood AND NOT restated, standing.valid_from, sighting.fetched_at) AS valid_from,
    CASE
        WHEN stood THEN standing.price_zone
        WHEN departed.id IS NOT NULL THEN departed.price_zone
        ELSE vehicle.price_zone
    END AS price_zone,
    coalesce(standing.time_zone, departed.time_zone, zone.time_zone, $default_time_zone) AS time_zone
FROM sightings AS sighting
LEFT JOIN standing USING (electric_vehicle_id, id)
LEFT JOIN departed USING (electric_vehicle_id, id)
LEFT JOIN overtaken USING (electric_vehicle_id, id)
LEFT JOIN raw.vehicles AS vehicle USING (electric_vehicle_id)
LEFT JOIN (SELECT unnest($price_zones::VARCHAR[]) AS price_zone, unnest($time_zones::VARCHAR[]) AS time_zone) AS zone
    ON zone.price_zone = vehicle.price_zone
WHERE sighting.fetched_at > coalesce(greatest(standing.fetched_at, departed.fetched_at), '-infinity'::TIMESTAMPTZ);

CREATE OR REPLACE TEMP TABLE ended AS
SELECT
    electric_vehicle_id,
    id,
    session_day,
    min(fetched_at) AS replaced_at,
    if(bool_or(rejected), 'quarantined', 'vanished') AS end_reason
FROM unlisted
SEMI JOIN landing_reads USING (electric_vehicle_id, first_day, last_day, fetched_at)
ANTI JOIN fresh USING (electric_vehicle_id, id)
GROUP BY electric_vehicle_id, id, session_day
UNION ALL
SELECT electric_vehicle_id, id, former_day, fetched_at, 'restated'
FROM fresh
WHERE restated;

CREATE OR REPLACE TEMP TABLE leaving AS
SELECT electric_vehicle_id, id, session_day FROM ended
UNION
SELECT electric_vehicle_id, id, former_day FROM fresh WHERE stood;
