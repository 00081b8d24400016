-- How far each day asked for is read, and whether that is final. Needs the table asked_days(session_day).
SELECT
    *,
    -- A day on which no vehicle was due stands on no read: it is final once time has passed.
    vehicles_complete = vehicles_due
        AND coalesce(data_through, $derived_at) >= (session_day + 1)::TIMESTAMPTZ + to_days($lookback_days) AS is_final,
FROM (
{coverage}
)
