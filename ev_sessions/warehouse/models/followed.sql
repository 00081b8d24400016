-- Of the days asked for that are not final: which of the 8 weeks before them can be seen as they were at the same age. Ages are whole
-- hours since a day's end; one more is allowed, since a run takes time and never begins at the same second.
-- Needs the table finality.
WITH provisional AS (
    SELECT session_day, age(data_through, session_day) + 1 AS age
    FROM finality
    WHERE NOT is_final AND data_through IS NOT NULL
),
past AS (
    SELECT session_day, vehicles_due, is_final
    FROM (
        SELECT session_day, vehicles_due, is_final FROM analytics.fleet_daily ANTI JOIN finality USING (session_day)
        UNION ALL
        SELECT session_day, vehicles_due, is_final FROM finality
    )
    WHERE session_day >= (SELECT min(session_day) - 56 FROM provisional)
        AND session_day < (SELECT max(session_day) FROM provisional)
),
reads AS (
    SELECT first_day, last_day, date_trunc('hour', fetched_at) AS read_at, count(*) AS vehicles
    FROM raw.fetches
    WHERE is_answer(outcome)
        AND last_day >= (SELECT min(session_day) FROM past)
        AND first_day <= (SELECT max(session_day) FROM past)
    GROUP BY ALL
)
-- Past days that most vehicles were read for within the day before that age: what stood then is what the API listed then.
SELECT provisional.session_day, age, past.session_day AS past_day, past.is_final AS past_is_final
FROM provisional
JOIN past ON past.session_day BETWEEN provisional.session_day - 56 AND provisional.session_day - 1
JOIN reads
    ON past.session_day BETWEEN first_day AND last_day
    AND age(read_at, past.session_day) BETWEEN age - 24 AND age
GROUP BY ALL
HAVING 2 * sum(vehicles) >= any_value(vehicles_due)
