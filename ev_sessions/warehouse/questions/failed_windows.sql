-- Days of a vehicle's life on which it was asked, failed, and was not answered since: as windows of consecutive days.
WITH lives AS (
{lives}
), failed AS (
    SELECT electric_vehicle_id, first_day, last_day, fetched_at, landed_at
    FROM raw.fetches
    WHERE outcome = 'failed'
), answered AS (
    SELECT electric_vehicle_id, first_day, last_day, fetched_at
    FROM raw.fetches
    SEMI JOIN failed USING (electric_vehicle_id)
    WHERE outcome IN ('complete', 'count_mismatch', 'gone')
), standing AS (
    -- Whole windows first: hardly any is left to be taken apart into its days.
    FROM failed
    ANTI JOIN answered
        ON answered.electric_vehicle_id = failed.electric_vehicle_id
        AND answered.fetched_at > failed.fetched_at
        AND answered.first_day <= failed.first_day
        AND answered.last_day >= failed.last_day
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
), unanswered AS (
    SELECT
        electric_vehicle_id,
        session_day,
        count(*) AS attempts,
        max(landed_at) AS failed_at,
    FROM failed_days
    ANTI JOIN answered
        ON answered.electric_vehicle_id = failed_days.electric_vehicle_id
        AND answered.fetched_at > failed_days.fetched_at
        AND failed_days.session_day BETWEEN answered.first_day AND answered.last_day
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
