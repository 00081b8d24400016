-- Days of a vehicle's life on which it was never asked, though others were: as windows of consecutive days.
-- Needs the table asked_days(session_day): the days that are looked at.
WITH lives AS (
{lives}
), numbered AS (
    -- The island is the same for days that follow on one another.
    SELECT session_day, session_day - (row_number() OVER (ORDER BY session_day))::INTEGER AS island
    FROM asked_days
), reads AS (
    -- Of the windows of a week or more, those that begin in the same week have a day in common, so together they are one window:
    -- what is sorted below is a fraction of the ledger.
    SELECT electric_vehicle_id, min(first_day) AS first_day, max(last_day) AS last_day
    FROM raw.fetches
    WHERE last_day >= (SELECT min(session_day) FROM asked_days)
        AND first_day <= (SELECT max(session_day) FROM asked_days)
    GROUP BY
        electric_vehicle_id,
        last_day - first_day >= 6,
        if(last_day - first_day >= 6, date_trunc('week', first_day), first_day)
    UNION ALL
    -- A read of the day after its life, so that what lies behind the last real one is a hole like any other.
    SELECT electric_vehicle_id, last_day + 1, last_day + 1
    FROM lives
), steps AS (
    SELECT
        electric_vehicle_id,
        first_day,
        max(last_day) OVER (
            PARTITION BY electric_vehicle_id ORDER BY first_day ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS read_to,
    FROM reads
), holes AS (
    SELECT
        electric_vehicle_id,
        greatest(steps.read_to + 1, lives.first_day) AS first_day,
        least(steps.first_day - 1, lives.last_day) AS last_day,
    FROM steps
    JOIN lives USING (electric_vehicle_id)
)
SELECT electric_vehicle_id, min(session_day), max(session_day)
FROM holes
JOIN numbered ON session_day BETWEEN first_day AND last_day
GROUP BY electric_vehicle_id, first_day, island
ORDER BY min(session_day), electric_vehicle_id
