-- Marks the days $first..$last to be derived again, and the months of the report date that they are in, to be summed up again. Where
-- a former marking was not derived to its end, what was derived since, by the settings $settings, is left: so the same command goes on
-- where it was. Days are found in every table that has sessions: one that lost its rows gets them back.
INSERT INTO raw.touched_days BY NAME
WITH newest AS (
    SELECT arg_max(settings, in_force_from) AS settings, max(in_force_from) AS in_force_from FROM raw.settings_history
), done AS (
    SELECT greatest((SELECT min(touched_at) FROM raw.touched_days WHERE run_id = $run_id), in_force_from) AS since
    FROM newest
    WHERE settings = $settings AND EXISTS (FROM raw.touched_days WHERE run_id = $run_id)
), standing AS (
    SELECT session_day, derived_at FROM analytics.fleet_daily
    UNION ALL
    SELECT session_day, NULL FROM raw.sessions
    UNION ALL
    SELECT session_day, NULL FROM analytics.sessions
    UNION ALL
    SELECT session_day, NULL FROM analytics.daily_energy
    UNION ALL
    SELECT session_day, NULL FROM analytics.daily_savings
), days AS (
    SELECT session_day, max(derived_at) AS derived_at
    FROM standing
    WHERE session_day BETWEEN $first AND $last
    GROUP BY session_day
)
SELECT session_day, $touched_at AS touched_at, $run_id AS run_id
FROM days
ANTI JOIN raw.touched_days USING (session_day)
WHERE NOT EXISTS (FROM done WHERE days.derived_at >= done.since);

INSERT INTO raw.touched_months BY NAME
WITH months AS (
    SELECT date_trunc('month', session_day)::DATE AS report_month
    FROM raw.touched_days
    WHERE session_day BETWEEN $first AND $last
    UNION
    SELECT date_trunc('month', report_date)::DATE FROM analytics.sessions WHERE session_day BETWEEN $first AND $last
    UNION
    SELECT report_month FROM analytics.monthly_savings WHERE report_month BETWEEN date_trunc('month', $first::DATE) AND $last
)
SELECT report_month, $touched_at AS touched_at, $run_id AS run_id
FROM months
ANTI JOIN raw.touched_months USING (report_month);
