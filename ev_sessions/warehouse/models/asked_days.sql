-- The days to derive.
SELECT unnest($days::DATE[]) AS session_day
