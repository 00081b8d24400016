-- Sessions of each final day that changed after it had become final: the tables of raw know when. Needs the table finality.
SELECT session_day, count(changed.id) AS changed_after_final
FROM finality
LEFT JOIN (
    SELECT session_day, electric_vehicle_id, id
    FROM raw.sessions
    JOIN finality USING (session_day)
    WHERE first_seen_at > final_since
    UNION
    SELECT session_day, electric_vehicle_id, id
    FROM raw.session_versions
    JOIN finality USING (session_day)
    WHERE replaced_at > final_since
    UNION
    -- Rows that came from another day: their former version ended when they came.
    SELECT session.session_day, electric_vehicle_id, id
    FROM raw.sessions AS session
    JOIN finality USING (session_day)
    JOIN raw.session_versions AS former USING (electric_vehicle_id, id)
    WHERE session.version > 1 AND former.session_day <> session.session_day AND former.replaced_at > final_since
) AS changed USING (session_day)
WHERE final_since IS NOT NULL
GROUP BY session_day
