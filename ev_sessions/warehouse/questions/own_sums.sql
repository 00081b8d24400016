-- Sums of raw.sessions, rows that error rules keep out included, for the sessions that fall into the same month by every cut
-- (in the order of ev_sessions.warehouse.comparison.CUTS). A month's edges are looked for up to 31 days around the months asked.
WITH stays AS (
    SELECT
        *,
        coalesce(unplug_time, inferred_session_end, plug_in_time) AS ended_at,
        -- The same stamps without a zone: what is asked of those is twenty times as fast.
        make_timestamp(epoch_us(plug_in_time)) AS plug_in_utc,
        make_timestamp(epoch_us(ended_at)) AS end_utc,
    FROM raw.sessions
    WHERE org_id = $org_id
        AND session_day BETWEEN $first::DATE - 31 AND $last::DATE + 31
        AND {which}
),
cut AS (
    SELECT
        {vehicle} AS electric_vehicle_id,
        energy_charged_kwh,
        actual_savings_eur,
        date_trunc('month', session_day)::DATE AS by_session_day,
        date_trunc('month', plug_in_utc)::DATE AS by_plug_in,
        date_trunc('month', end_utc)::DATE AS by_end,
        -- Far from a month's edge it is the same month everywhere; a look at the zone costs as much as all the rest.
        date_trunc('month', CASE
            WHEN day(plug_in_utc) BETWEEN 2 AND 27 THEN plug_in_utc
            ELSE plug_in_time AT TIME ZONE time_zone
        END)::DATE AS by_local_plug_in,
        date_trunc('month', CASE
            WHEN day(end_utc) BETWEEN 2 AND 27 THEN end_utc
            ELSE ended_at AT TIME ZONE time_zone
        END)::DATE AS by_local_end,
    FROM stays
)
SELECT
    electric_vehicle_id,
    [by_session_day, by_plug_in, by_end, by_local_plug_in, by_local_end] AS months,
    count(*) AS sessions,
    sum(energy_charged_kwh) AS energy_kwh,
    sum(actual_savings_eur) AS savings_eur,
FROM cut
GROUP BY electric_vehicle_id, by_session_day, by_plug_in, by_end, by_local_plug_in, by_local_end
