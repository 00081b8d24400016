-- Which reads land. One that loses too many of a vehicle's rows at once waits until a later read says the same.

-- Standing rows within the window of a newer answer.
CREATE OR REPLACE TEMP TABLE exposed AS
SELECT
    session.electric_vehicle_id,
    session.id,
    session.session_day,
    read.first_day,
    read.last_day,
    read.fetched_at
FROM raw.sessions AS session
JOIN new_reads AS read
    ON read.electric_vehicle_id = session.electric_vehicle_id
    AND session.session_day BETWEEN read.first_day AND read.last_day
    AND session.fetched_at < read.fetched_at
WHERE read.good AND session.session_day BETWEEN $first_day AND $last_day;

-- Those of them that the answer does not have in good order, and those that it does not have at all.
CREATE OR REPLACE TEMP TABLE unlisted AS
SELECT exposed.*, rejection.session_id IS NOT NULL AS rejected
FROM exposed
ANTI JOIN sightings USING (electric_vehicle_id, id, fetched_at)
LEFT JOIN (SELECT DISTINCT electric_vehicle_id, session_id, fetched_at FROM rejections) AS rejection
    ON rejection.electric_vehicle_id = exposed.electric_vehicle_id
    AND rejection.session_id = exposed.id
    AND rejection.fetched_at = exposed.fetched_at;

CREATE OR REPLACE TEMP TABLE held_reads AS
WITH losses AS (
    SELECT electric_vehicle_id, first_day, last_day, fetched_at
    FROM (SELECT electric_vehicle_id, first_day, last_day, fetched_at, count(*) AS rows FROM exposed GROUP BY ALL)
    JOIN (
        SELECT electric_vehicle_id, first_day, last_day, fetched_at, count(*) AS lost_rows
        FROM unlisted
        WHERE NOT rejected
        GROUP BY ALL
    ) USING (electric_vehicle_id, first_day, last_day, fetched_at)
    WHERE lost_rows > $hold_share * rows
)
SELECT loss.electric_vehicle_id, loss.first_day, loss.last_day, loss.fetched_at
FROM losses AS loss
LEFT JOIN raw.fetches AS earlier
    ON earlier.electric_vehicle_id = loss.electric_vehicle_id
    AND earlier.first_day <= loss.last_day
    AND earlier.last_day >= loss.first_day
    AND earlier.fetched_at < loss.fetched_at
    AND earlier.outcome IN ('complete', 'count_mismatch', 'held')
GROUP BY ALL
HAVING arg_max(earlier.outcome, earlier.fetched_at) IS DISTINCT FROM 'held';

CREATE OR REPLACE TEMP TABLE landing_reads AS
SELECT user_id, electric_vehicle_id, first_day, last_day, fetched_at
FROM new_reads
ANTI JOIN held_reads USING (electric_vehicle_id, first_day, last_day, fetched_at)
WHERE good;
