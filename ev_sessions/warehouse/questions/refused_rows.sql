-- Records that the API sent for a window to which they do not belong, of the windows that touch the days asked for.
SELECT count(*)
FROM raw.quarantine
WHERE list_contains(rules, 'outside_window')
    AND first_day <= (SELECT max(session_day) FROM asked_days)
    AND last_day >= (SELECT min(session_day) FROM asked_days)
