-- What the followed days have, by the age at which a session was first seen, and its vehicle: the history of one that came later
-- was never followed. Needs the table followed.
SELECT
    session_day AS past_day,
    age(session.first_seen_at, session_day) AS seen_age,
    greatest(age(vehicle.first_seen_at, session_day), 0) AS known_age,
    count(*) AS sessions,
    sum(energy_charged_kwh) AS energy_kwh,
FROM analytics.sessions AS session
LEFT JOIN raw.vehicles AS vehicle USING (electric_vehicle_id)
WHERE session_day IN (SELECT past_day FROM followed)
GROUP BY ALL
