-- Sums of raw.sessions, rows that error rules keep out included, for the sessions that fall into the same month by every cut
-- (in the order of ev_sessions.warehouse.agreement.CUTS). A month's edges are looked for up to 31 days around the months asked.
SELECT
    {vehicle} AS electric_vehicle_id,
    [
        date_trunc('month', session_day)::DATE,
        date_trunc('month', plug_in_time)::DATE,
        date_trunc('month', ended_at)::DATE,
        date_trunc('month', plug_in_time AT TIME ZONE time_zone)::DATE,
        date_trunc('month', ended_at AT TIME ZONE time_zone)::DATE
    ] AS months,
    count(*) AS sessions,
    sum(energy_charged_kwh) AS energy_kwh,
    sum(actual_savings_eur) AS savings_eur,
FROM (SELECT *, coalesce(unplug_time, inferred_session_end, plug_in_time) AS ended_at FROM raw.sessions)
WHERE org_id = $org_id
    AND session_day BETWEEN $first::DATE - 31 AND $last::DATE + 31
    AND {which}
GROUP BY ALL
