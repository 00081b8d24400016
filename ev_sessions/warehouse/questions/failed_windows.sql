-- Days of a vehicle's life on which it was asked, failed, and was not answered since: as windows of consecutive days.
WITH lives AS (
{lives}
), failed AS (
    SELECT electric_vehicle_id, first_day, last_day, fetched_at, landed_at
    FROM raw.fetches
    WHERE outcome = 'failed'
), answered_whole AS (
    -- Whole windows first: hardly any is left to be taken apart into its days. The failures are few, the ledger is long.
    SELECT DISTINCT failed.electric_vehicle_id, failed.fetched_at
    FROM raw.fetches AS answer
    JOIN failed
        ON answer.electric_vehicle_id = failed.electric_vehicle_id
        AND answer.fetched_at > failed.fetched_at
        AND answer.first_day <= failed.first_day
        AND answer.last_day >= failed.last_day
    WHERE is_answer(answer.outcome)
), standing AS (
    FROM failed
    ANTI JOIN answered_whole USING (electric_vehicle_id, fetched_at)
), failed_days AS (
    SELECT
        electric_vehicle_id,
        fetched_at,
        landed_at,
        unnest(generate_series(
            greatest(standing.first_day, lives.first_day), least(standing.last_day, lives.last_day), INTERVAL 1 DAY
        ))::DATE AS session_day,
    FROM standing
    JOIN lives USING (electric_vehicle_id)
), answered_days AS (
    SELECT DISTINCT failed_days.electric_vehicle_id, failed_days.fetched_at, session_day
    FROM raw.fetches AS answer
    JOIN failed_days
        ON answer.electric_vehicle_id = failed_days.electric_vehicle_id
        AND answer.fetched_at > failed_days.fetched_at
        AND session_day BETWEEN answer.first_day AND answer.last_day
    WHERE is_answer(answer.outcome)
), unanswered AS (
    SELECT
        electric_vehicle_id,
        session_day,
        count(*) AS attempts,
        max(landed_at) AS failed_at,
    FROM failed_days
    ANTI JOIN answered_days USING (electric_vehicle_id, fetched_at, session_day)
    GROUP BY electric_vehicle_id, session_day
), numbered AS (
    SELECT
        *,
        -- The same for days that follow on one another.
        session_day - (row_number() OVER (PARTITION BY electric_vehicle_id ORDER BY session_day))::INTEGER AS island,
    FROM unanswered
)
SELECT
    electric_vehicle_id,
    min(session_day) AS first_day,
    max(session_day) AS last_day,
    max(attempts) AS attempts,
    max(failed_at) AS failed_at,
FROM numbered
GROUP BY electric_vehicle_id, island
ORDER BY first_day, electric_vehicle_id
