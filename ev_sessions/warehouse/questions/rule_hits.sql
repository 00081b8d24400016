-- How often each rule was broken on each of the days $first..$last.
SELECT session_day, rule, hits
FROM analytics.rule_hits
WHERE session_day BETWEEN $first AND $last
