-- How far the days asked for that are not final have come: which share of their sessions, and of their energy, the final days of
-- the 8 weeks before them had at the same age. Ages are whole hours since a day's end; one more is allowed, since a run takes
-- time and never begins at the same second. Needs the table finality and the macros age and ratio.
WITH provisional AS (
    SELECT session_day, age(data_through, session_day) + 1 AS age
    FROM finality
    WHERE NOT is_final AND data_through IS NOT NULL
),
past AS (
    SELECT session_day, vehicles_due
    FROM (
        SELECT session_day, vehicles_due, is_final FROM analytics.fleet_daily ANTI JOIN finality USING (session_day)
        UNION ALL
        SELECT session_day, vehicles_due, is_final FROM finality
    )
    WHERE is_final
        AND session_day >= (SELECT min(session_day) - 56 FROM provisional)
        AND session_day < (SELECT max(session_day) FROM provisional)
),
reads AS (
    SELECT first_day, last_day, date_trunc('hour', fetched_at) AS read_at, count(*) AS vehicles
    FROM raw.fetches
    WHERE outcome IN ('complete', 'count_mismatch', 'gone')
        AND last_day >= (SELECT min(session_day) FROM past)
        AND first_day <= (SELECT max(session_day) FROM past)
    GROUP BY ALL
),
-- Past days that most vehicles were read for within the day before that age: what stood then is what the API listed then.
followed AS (
    SELECT provisional.session_day, age, past.session_day AS past_day
    FROM provisional
    JOIN past ON past.session_day BETWEEN provisional.session_day - 56 AND provisional.session_day - 1
    JOIN reads
        ON past.session_day BETWEEN first_day AND last_day
        AND age(read_at, past.session_day) BETWEEN age - 24 AND age
    GROUP BY ALL
    HAVING 2 * sum(vehicles) >= any_value(vehicles_due)
),
-- By the age at which a session was first seen, and its vehicle: the history of one that came later was never followed.
seen AS (
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
)
SELECT
    session_day,
    ratio(sum(sessions) FILTER (seen_age <= age), sum(sessions)) AS sessions_maturity,
    ratio(sum(energy_kwh) FILTER (seen_age <= age), sum(energy_kwh)) AS energy_maturity,
FROM followed
JOIN seen USING (past_day)
WHERE known_age <= age
GROUP BY session_day
