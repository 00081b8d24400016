-- The sessions that a month's figures can concern, then or now, and where their rows stand. A session is of the month by one of its
-- stamps, so a stay of weeks is found as well. `near` has the vehicle-days beyond $rows_from to $rows_to that are needed besides.
CREATE OR REPLACE TEMP TABLE stays AS
SELECT electric_vehicle_id, id, bool_or(stands) AS stands
FROM (
    SELECT electric_vehicle_id, id, true AS stands FROM raw.sessions WHERE {in_reach}
    UNION ALL
    SELECT electric_vehicle_id, id, false AS stands FROM raw.session_versions WHERE {valid_then} AND {in_reach}
)
GROUP BY electric_vehicle_id, id;

CREATE OR REPLACE TEMP TABLE places AS
SELECT electric_vehicle_id, id, session_day FROM raw.sessions WHERE {in_reach}
UNION
-- By the id alone: the same one under two vehicles keeps both out.
SELECT electric_vehicle_id, id, session_day FROM raw.session_versions SEMI JOIN stays USING (id) WHERE {valid_then}
UNION
SELECT electric_vehicle_id, id, session_day FROM raw.sessions SEMI JOIN (FROM stays WHERE NOT stands) AS elsewhere USING (id)
UNION
SELECT electric_vehicle_id, stays.id, first_day AS session_day
FROM raw.quarantine
JOIN (SELECT DISTINCT id FROM stays) AS stays ON stays.id = session_id
WHERE in_sessions AND rules[1] = 'id_of_two_vehicles';

CREATE OR REPLACE TEMP TABLE near AS
SELECT DISTINCT electric_vehicle_id, session_day + apart::INTEGER AS session_day
FROM places
CROSS JOIN range(-{reach_days}, {reach_days} + 1) AS series(apart)
WHERE (session_day - {reach_days} < $rows_from::DATE OR session_day + {reach_days} > $rows_to::DATE)
    AND NOT (session_day + apart::INTEGER BETWEEN $rows_from::DATE AND $rows_to::DATE);
