-- What the sessions of a vehicle tell of each other: those that no rule about a single session keeps out. Sessions more than
-- {neighbour_days} session days apart do not concern each other. So a session's answers are the same in whatever order rows were
-- read, and whichever days are looked at besides those.
WITH rows AS (
    SELECT
        electric_vehicle_id, id, session_day, plug_in_time, session_end, energy_charged_kwh, first_seen_at, initial_soc_pct,
        final_soc_pct
    FROM (
{facts}
    )
    WHERE NOT coalesce({kept_out}, false)
),
ordered AS (
    SELECT
        *,
        -- Ordered by day before all else: if the row before is too far away, so is every other.
        lag(struct_pack(session_day, session_end, final_soc_pct)) OVER stays AS previous,
        max(session_end) OVER (stays ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS ended_before,
        min(plug_in_time) OVER (stays ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS begins_after,
    FROM rows
    WINDOW stays AS (PARTITION BY electric_vehicle_id ORDER BY session_day, plug_in_time, id)
),
-- The few that can share time with another at all.
crossing AS (
    SELECT *
    FROM ordered
    WHERE (ended_before > plug_in_time + {shared} OR begins_after < session_end - {shared})
        AND session_end > plug_in_time + {shared}
),
overlapping AS (
    SELECT
        electric_vehicle_id,
        session.id,
        bool_or((other.plug_in_time, other.id) < (session.plug_in_time, session.id)) AS begins_within,
        bool_or(
            session.energy_charged_kwh = other.energy_charged_kwh
            AND (other.first_seen_at, other.plug_in_time, other.id) < (session.first_seen_at, session.plug_in_time, session.id)
        ) AS counted_twice,
    FROM crossing AS session
    JOIN crossing AS other USING (electric_vehicle_id)
    WHERE session.id <> other.id
        AND abs(session.session_day - other.session_day) <= {neighbour_days}
        AND session.session_end > other.plug_in_time + {shared}
        AND other.session_end > session.plug_in_time + {shared}
    GROUP BY electric_vehicle_id, session.id
)
SELECT
    electric_vehicle_id,
    id,
    coalesce(begins_within, false) AS begins_within,
    coalesce(counted_twice, false) AS counted_twice,
    CASE WHEN near THEN (epoch_us(plug_in_time) - epoch_us(previous.session_end)) / 1e6 END AS gap_seconds,
    CASE WHEN near THEN previous.final_soc_pct END AS previous_final_soc_pct,
FROM (
    SELECT *, session_day - previous.session_day <= {neighbour_days} AS near
    FROM ordered
    WHERE session_day IN ({days})
)
LEFT JOIN overlapping USING (electric_vehicle_id, id)
