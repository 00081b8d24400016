-- Whether somebody called $run_id has marked days of $first..$last, or their months, that are not derived or summed up yet.
SELECT EXISTS (FROM raw.touched_days WHERE run_id = $run_id AND session_day BETWEEN $first AND $last)
    OR EXISTS (
        FROM raw.touched_months WHERE run_id = $run_id AND report_month BETWEEN date_trunc('month', $first::DATE) AND $last
    )
