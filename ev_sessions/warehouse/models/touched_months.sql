-- Marks the months that have to be summed up again: those whose contents the days asked for changed, and those that are final now
-- and were not when they were summed up, or the other way round. Needs asked_days, contents_before and contents_after.
CREATE OR REPLACE TEMP TABLE asked_months AS
SELECT DISTINCT date_trunc('month', session_day)::DATE AS report_month FROM asked_days
UNION
SELECT report_month FROM contents_after;

CREATE OR REPLACE TEMP TABLE changed_months AS
SELECT report_month
FROM contents_before
FULL JOIN contents_after USING (report_month)
WHERE contents_before.digest IS DISTINCT FROM contents_after.digest
UNION
SELECT report_month
FROM analytics.monthly_savings AS stored
JOIN (
    SELECT report_month, bool_and(is_final) AS is_final
    FROM (
{month_days}
    )
    GROUP BY report_month
) AS present USING (report_month)
WHERE stored.is_final <> present.is_final;

-- A mark that waits stays as it is: it tells who was the first to ask for the month.
INSERT INTO raw.touched_months BY NAME
SELECT report_month, $derived_at AS touched_at, $run_id AS run_id
FROM changed_months
ANTI JOIN raw.touched_months USING (report_month);
