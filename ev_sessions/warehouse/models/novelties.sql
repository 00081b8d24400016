-- What the rows on the days asked for have and the API's documentation does not name goes to raw.novelties, unless it is there
-- already. Needs the table asked_days(session_day).
INSERT INTO raw.novelties BY NAME
SELECT kind, name, min(session_day) AS session_day, $derived_at AS found_at, $run_id AS run_id
FROM (
    SELECT 'session_outcome' AS kind, session_outcome AS name, session_day
    FROM raw.sessions
    WHERE {unknown_outcome} AND session_day IN (SELECT session_day FROM asked_days)
    UNION ALL
    SELECT 'field', unnest(json_keys(extra)), session_day
    FROM raw.sessions
    WHERE {new_field} AND session_day IN (SELECT session_day FROM asked_days)
)
ANTI JOIN raw.novelties USING (kind, name)
GROUP BY kind, name
ORDER BY kind, name
RETURNING kind, name
