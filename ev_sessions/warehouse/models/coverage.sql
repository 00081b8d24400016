-- How far the reads in the ledger cover each day asked for: the table asked_days(session_day).
-- The newest answer of a vehicle that covers a day counts; a failure after it undoes nothing. A read that began $lookback_days
-- or more after the day's end is late enough to be final.
WITH due AS (
    SELECT session_day, electric_vehicle_id
    FROM asked_days
    JOIN (
{lives}
    ) ON session_day BETWEEN first_day AND last_day
),
reads AS (
    SELECT
        session_day,
        electric_vehicle_id,
        outcome,
        fetched_at,
        reported_total - outside_rows AS listed,
        accepted_rows AS accepted,
        is_answer(outcome) AS answered,
        late_from,
        outcome IN ('complete', 'gone') AND fetched_at >= late_from AS conclusive,
    FROM raw.fetches
    JOIN (
        SELECT session_day, (session_day + 1)::TIMESTAMPTZ + to_days($lookback_days) AS late_from FROM asked_days
    ) ON session_day BETWEEN first_day AND last_day
    -- The same bounds once more as plain numbers, so that old parts of the ledger are not even looked at.
    WHERE last_day >= (SELECT min(session_day) FROM asked_days)
        AND first_day <= (SELECT max(session_day) FROM asked_days)
),
answers AS (
    SELECT
        session_day,
        electric_vehicle_id,
        max(fetched_at) FILTER (answered) AS answered_at,
        arg_max({outcome: outcome, listed: listed, accepted: accepted}, fetched_at) FILTER (answered) AS answer,
        arg_max(outcome, fetched_at) AS last_outcome,
        max(fetched_at) < any_value(late_from) AS read_early,
        min(fetched_at) FILTER (conclusive) AS concluded_at,
    FROM reads
    GROUP BY session_day, electric_vehicle_id
)
SELECT
    session_day,
    count(due.electric_vehicle_id) AS vehicles_due,
    count(answered_at) AS vehicles_read,
    count(*) FILTER (last_outcome IS NOT NULL AND answered_at IS NULL) AS vehicles_failed,
    count(*) FILTER (last_outcome = 'held') AS vehicles_held,
    count(*) FILTER (answer.outcome = 'count_mismatch') AS vehicles_mismatched,
    count(*) FILTER (answer.outcome IN ('complete', 'gone')) AS vehicles_complete,
    count(*) FILTER (read_early) AS vehicles_read_early,
    min(answered_at) AS data_through,
    CASE WHEN count(concluded_at) = count(due.electric_vehicle_id) THEN max(concluded_at) END AS final_since,
    sum(answer.listed)::BIGINT AS sessions_listed,
    (sum(answer.accepted) FILTER (answer.listed IS NOT NULL))::BIGINT AS sessions_accepted,
    list({electric_vehicle_id: due.electric_vehicle_id, last_outcome: last_outcome})
        FILTER (due.electric_vehicle_id IS NOT NULL AND answered_at IS NULL) AS unread,
FROM asked_days
LEFT JOIN due USING (session_day)
LEFT JOIN answers USING (session_day, electric_vehicle_id)
GROUP BY session_day
ORDER BY session_day
