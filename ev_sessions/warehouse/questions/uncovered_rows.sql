-- Rows of raw.sessions, per day, that no landed read of their vehicle covers.
SELECT session_day, count(*)
FROM raw.sessions
ANTI JOIN raw.fetches AS read
    ON read.electric_vehicle_id = sessions.electric_vehicle_id
    AND sessions.session_day BETWEEN read.first_day AND read.last_day
    AND has_list(read.outcome)
WHERE session_day IN (SELECT session_day FROM asked_days)
GROUP BY session_day
ORDER BY session_day
