-- How far the days asked for that are not final have come: which share of their sessions, and of their energy, the final days of
-- the 8 weeks before them had at the same age. Needs the tables followed and seen.
SELECT
    session_day,
    ratio(sum(sessions) FILTER (seen_age <= age), sum(sessions)) AS sessions_maturity,
    ratio(sum(energy_kwh) FILTER (seen_age <= age), sum(energy_kwh)) AS energy_maturity,
FROM followed
JOIN seen USING (past_day)
WHERE past_is_final AND known_age <= age
GROUP BY session_day
