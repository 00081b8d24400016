-- Marks the derived days $first..$last to be derived again. Where a former marking was not derived to its end, what was derived
-- since, by the settings $settings, is left: so the same command goes on where it was.
INSERT INTO raw.touched_days BY NAME
WITH newest AS (
    SELECT settings, in_force_from FROM raw.settings_history ORDER BY in_force_from DESC LIMIT 1
), done AS (
    SELECT greatest((SELECT min(touched_at) FROM raw.touched_days WHERE run_id = $run_id), in_force_from) AS since
    FROM newest
    WHERE settings = $settings AND EXISTS (FROM raw.touched_days WHERE run_id = $run_id)
)
SELECT session_day, $touched_at AS touched_at, $run_id AS run_id
FROM analytics.fleet_daily
ANTI JOIN raw.touched_days USING (session_day)
WHERE session_day BETWEEN $first AND $last
    AND NOT EXISTS (FROM done WHERE fleet_daily.derived_at >= done.since)
