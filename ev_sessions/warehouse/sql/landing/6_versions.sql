-- Answers that land after newer ones, or together with them, show what belongs between the versions that are known. Of the sessions
-- that they concern all versions are made anew, from every moment at which a session is known to have been listed or not: so the
-- versions do not depend on the order of landing. As a rule there are no such answers, and all tables here are empty.

-- Whatever days the later answer was about: a session may have gone from one day to another.
CREATE OR REPLACE TEMP TABLE late_reads AS
SELECT DISTINCT read.*
FROM landing_reads AS read
JOIN later_reads AS later
    ON later.electric_vehicle_id = read.electric_vehicle_id
    AND later.fetched_at > read.fetched_at;

CREATE OR REPLACE TEMP TABLE disordered AS
SELECT electric_vehicle_id, id FROM older_sightings
UNION
-- Seen by an answer that is older than what is known, unless it was known for the same then.
SELECT sighting.electric_vehicle_id, sighting.id
FROM sightings AS sighting
ANTI JOIN fresh USING (electric_vehicle_id, id)
ANTI JOIN standing
    ON standing.electric_vehicle_id = sighting.electric_vehicle_id
    AND standing.id = sighting.id
    AND standing.content_hash = sighting.content_hash
    AND standing.valid_from <= sighting.fetched_at
UNION
SELECT electric_vehicle_id, id
FROM fresh
JOIN departed USING (electric_vehicle_id, id)
WHERE fresh.fetched_at < departed.replaced_at
UNION
-- Not seen by an answer that was read while it is taken to have been listed.
SELECT electric_vehicle_id, id
FROM (
    SELECT version.electric_vehicle_id, version.id, read.fetched_at
    FROM (
        SELECT electric_vehicle_id, id, session_day, valid_from, fetched_at AS listed_until FROM raw.sessions
        UNION ALL
        SELECT electric_vehicle_id, id, session_day, valid_from, replaced_at FROM raw.session_versions
    ) AS version
    JOIN late_reads AS read
        ON read.electric_vehicle_id = version.electric_vehicle_id
        AND version.session_day BETWEEN read.first_day AND read.last_day
        AND read.fetched_at > version.valid_from
        AND read.fetched_at < version.listed_until
    WHERE version.session_day BETWEEN $first_day AND $last_day
)
ANTI JOIN (FROM sightings UNION ALL FROM older_sightings) USING (electric_vehicle_id, id, fetched_at);

CREATE OR REPLACE TEMP TABLE recorded AS
FROM raw.sessions SEMI JOIN disordered USING (electric_vehicle_id, id)
UNION ALL BY NAME
FROM raw.session_versions SEMI JOIN disordered USING (electric_vehicle_id, id);

CREATE OR REPLACE TEMP TABLE late_sightings AS
FROM (FROM sightings UNION ALL FROM older_sightings)
SEMI JOIN disordered USING (electric_vehicle_id, id)
ANTI JOIN recorded USING (electric_vehicle_id, id, fetched_at);

-- When they were listed, and as what. Of the answers by which a version was seen again, the ledger knows those that count.
CREATE OR REPLACE TEMP TABLE listings AS
SELECT electric_vehicle_id, id, valid_from AS seen_at, content_hash, session_day FROM recorded
UNION
SELECT electric_vehicle_id, id, fetched_at, content_hash, session_day FROM recorded
UNION
SELECT electric_vehicle_id, id, fetched_at, content_hash, session_day FROM late_sightings
UNION
SELECT version.electric_vehicle_id, version.id, read.fetched_at, version.content_hash, version.session_day
FROM recorded AS version
JOIN raw.fetches AS read
    ON read.electric_vehicle_id = version.electric_vehicle_id
    AND version.session_day BETWEEN read.first_day AND read.last_day
    AND read.fetched_at > version.valid_from
    AND read.fetched_at < version.fetched_at
WHERE has_list(read.outcome);

-- When each listing was first found to be over, before the next one.
CREATE OR REPLACE TEMP TABLE absences AS
WITH spans AS (
    SELECT *, coalesce(lead(seen_at) OVER (PARTITION BY electric_vehicle_id, id ORDER BY seen_at), 'infinity') AS next_seen_at
    FROM listings
)
SELECT electric_vehicle_id, id, min(missed_at) AS missed_at
FROM (
    SELECT span.electric_vehicle_id, span.id, span.seen_at, read.fetched_at AS missed_at
    FROM spans AS span
    JOIN (
        SELECT electric_vehicle_id, first_day, last_day, fetched_at
        FROM raw.fetches
        WHERE has_list(outcome)
        UNION ALL
        SELECT electric_vehicle_id, first_day, last_day, fetched_at
        FROM landing_reads
    ) AS read
        ON read.electric_vehicle_id = span.electric_vehicle_id
        AND span.session_day BETWEEN read.first_day AND read.last_day
        AND read.fetched_at > span.seen_at
        AND read.fetched_at < span.next_seen_at
    UNION ALL
    SELECT span.electric_vehicle_id, span.id, span.seen_at, version.replaced_at
    FROM spans AS span
    JOIN recorded AS version
        ON version.electric_vehicle_id = span.electric_vehicle_id
        AND version.id = span.id
        -- The read that ended a version says nothing of other days.
        AND version.session_day = span.session_day
        AND version.replaced_at > span.seen_at
        AND version.replaced_at < span.next_seen_at
    WHERE version.end_reason <> 'restated'
)
GROUP BY electric_vehicle_id, id, seen_at;

-- What was listed without a change or a gap is one version. While it was not listed there is none.
CREATE OR REPLACE TEMP TABLE spells AS
WITH moments AS (
    SELECT electric_vehicle_id, id, seen_at AS moment, content_hash FROM listings
    UNION ALL
    SELECT electric_vehicle_id, id, missed_at, NULL FROM absences
), turns AS (
    SELECT *, content_hash IS DISTINCT FROM lag(content_hash) OVER session AS turned
    FROM moments
    WINDOW session AS (PARTITION BY electric_vehicle_id, id ORDER BY moment)
), numbered AS (
    SELECT *, count(*) FILTER (turned) OVER (PARTITION BY electric_vehicle_id, id ORDER BY moment) AS spell
    FROM turns
), whole AS (
    SELECT electric_vehicle_id, id, spell, content_hash, min(moment) AS valid_from, max(moment) AS fetched_at
    FROM numbered
    GROUP BY ALL
), followed AS (
    SELECT *, lead(valid_from) OVER session AS replaced_at, lead(content_hash) OVER session AS next_content_hash
    FROM whole
    WINDOW session AS (PARTITION BY electric_vehicle_id, id ORDER BY spell)
)
SELECT *, row_number() OVER (PARTITION BY electric_vehicle_id, id ORDER BY spell) AS version
FROM followed
WHERE content_hash IS NOT NULL;

CREATE OR REPLACE TEMP TABLE rewritten AS
WITH shown AS (
    FROM recorded
    UNION ALL BY NAME
    SELECT session.*, late.content_hash, $run_id AS run_id
    FROM read_parquet($sessions, union_by_name = true) AS session
    JOIN late_sightings AS late ON late.part = session.file_index AND late.part_row = session.file_row_number
), stamps AS (
    SELECT
        electric_vehicle_id,
        id,
        min(valid_from) AS first_seen_at,
        any_value(price_zone) AS price_zone,
        any_value(time_zone) AS time_zone
    FROM spells
    JOIN (SELECT electric_vehicle_id, id, price_zone, time_zone FROM recorded) USING (electric_vehicle_id, id)
    GROUP BY ALL
), ends AS (
    SELECT
        electric_vehicle_id,
        id,
        replaced_at,
        arg_min(end_reason, end_reason = 'superseded') FILTER (end_reason <> 'restated') AS end_reason,
        arg_min(replaced_by_run_id, end_reason = 'superseded') AS replaced_by_run_id
    FROM recorded
    GROUP BY ALL
)
SELECT
    shown.* REPLACE (
        spell.version AS version,
        spell.valid_from AS valid_from,
        spell.fetched_at AS fetched_at,
        spell.replaced_at AS replaced_at,
        stamps.first_seen_at AS first_seen_at,
        stamps.price_zone AS price_zone,
        stamps.time_zone AS time_zone,
        coalesce(ends.replaced_by_run_id, $run_id) AS replaced_by_run_id,
        CASE
            WHEN spell.next_content_hash IS NOT NULL THEN 'restated'
            WHEN ends.end_reason IS NOT NULL THEN ends.end_reason
            WHEN rejection.session_id IS NOT NULL THEN 'quarantined'
            ELSE 'vanished'
        END AS end_reason
    )
FROM spells AS spell
JOIN shown USING (electric_vehicle_id, id, content_hash)
JOIN stamps USING (electric_vehicle_id, id)
LEFT JOIN ends
    ON ends.electric_vehicle_id = spell.electric_vehicle_id
    AND ends.id = spell.id
    AND ends.replaced_at = spell.replaced_at
LEFT JOIN rejections AS rejection
    ON rejection.electric_vehicle_id = spell.electric_vehicle_id
    AND rejection.session_id = spell.id
    AND rejection.fetched_at = spell.replaced_at
QUALIFY row_number() OVER (
    PARTITION BY spell.electric_vehicle_id, spell.id, spell.version
    ORDER BY shown.fetched_at = spell.fetched_at DESC, shown.fetched_at DESC
) = 1;

DELETE FROM raw.session_versions AS version
USING disordered
WHERE disordered.electric_vehicle_id = version.electric_vehicle_id AND disordered.id = version.id;

INSERT INTO raw.session_versions BY NAME
SELECT former.* REPLACE (if(former.end_reason = 'restated', {changed_fields}, NULL) AS changed_fields)
FROM rewritten AS former
LEFT JOIN rewritten AS session
    ON session.electric_vehicle_id = former.electric_vehicle_id
    AND session.id = former.id
    AND session.version = former.version + 1
WHERE former.replaced_at IS NOT NULL;

UPDATE raw.sessions AS session
SET version = rewritten.version, first_seen_at = rewritten.first_seen_at, valid_from = rewritten.valid_from
FROM rewritten
WHERE rewritten.electric_vehicle_id = session.electric_vehicle_id
    AND rewritten.id = session.id
    AND rewritten.replaced_at IS NULL;

-- Days on which something else is told of a session now.
CREATE OR REPLACE TEMP TABLE rewritten_days AS
SELECT DISTINCT session_day
FROM (
    SELECT electric_vehicle_id, id, session_day, version, first_seen_at, valid_from, fetched_at, replaced_at FROM rewritten
    EXCEPT
    SELECT electric_vehicle_id, id, session_day, version, first_seen_at, valid_from, fetched_at, replaced_at FROM recorded
);
