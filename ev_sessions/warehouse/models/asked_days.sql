-- The days to derive: those asked for, and those whose rows a landing has changed since.
SELECT unnest(generate_series($first::DATE, $last::DATE, INTERVAL 1 DAY))::DATE AS session_day
UNION
SELECT session_day FROM raw.touched_days
