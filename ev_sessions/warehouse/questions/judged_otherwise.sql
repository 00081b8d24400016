-- How many of the derived days from $first on stand as other settings than $settings made them: those derived before these came into
-- force for the last time.
WITH other AS (
    SELECT max(in_force_from) AS until FROM raw.settings_history WHERE settings <> $settings
), present AS (
    SELECT min(in_force_from) AS since
    FROM raw.settings_history, other
    WHERE settings = $settings AND in_force_from > coalesce(other.until, '-infinity'::TIMESTAMPTZ)
)
SELECT count(*)
FROM analytics.fleet_daily, present
WHERE session_day >= $first AND (derived_at >= since) IS NOT TRUE
