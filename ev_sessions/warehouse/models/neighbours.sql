-- What the sessions of a vehicle tell of each other: those that nothing else keeps out. Sessions more than {neighbour_days} session
-- days apart do not concern each other, and whether one is counted twice is told by those so near to it alone. So a session's
-- answers are the same in whatever order rows were read, and whichever days are looked at besides those.
WITH RECURSIVE rows AS (
    SELECT
        electric_vehicle_id, id, session_day, plug_in_time, session_end, energy_charged_kwh, first_seen_at, initial_soc_pct,
        final_soc_pct
    FROM (
{facts}
    )
    ANTI JOIN ({unusable}) AS unusable USING (electric_vehicle_id, id)
    WHERE NOT coalesce({kept_out}, false)
),
-- The few that can share time with another at all.
crossing AS (
    SELECT * EXCLUDE (ended_before, begins_after)
    FROM (
        SELECT
            * EXCLUDE (initial_soc_pct, final_soc_pct),
            max(session_end) OVER (stays ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS ended_before,
            min(plug_in_time) OVER (stays ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS begins_after,
        FROM rows
        WINDOW stays AS (PARTITION BY electric_vehicle_id ORDER BY session_day, plug_in_time, id)
    )
    WHERE (ended_before > plug_in_time + {shared} OR begins_after < session_end - {shared})
        AND session_end > plug_in_time + {shared}
),
sharing AS (
    SELECT
        electric_vehicle_id,
        session.id,
        session.session_day,
        other.id AS other_id,
        other.session_day AS other_day,
        (other.plug_in_time, other.id) < (session.plug_in_time, session.id) AS begins_within,
        session.energy_charged_kwh = other.energy_charged_kwh
            AND (other.first_seen_at, other.plug_in_time, other.id) < (session.first_seen_at, session.plug_in_time, session.id)
            AS repeats,
    FROM crossing AS session
    JOIN crossing AS other USING (electric_vehicle_id)
    WHERE session.id <> other.id
        AND abs(session.session_day - other.session_day) <= {neighbour_days}
        AND session.session_end > other.plug_in_time + {shared}
        AND other.session_end > session.plug_in_time + {shared}
),
-- What the answer for a session depends on: those that it repeats, those that these repeat, and so on; itself as well.
lineage AS (
    SELECT DISTINCT electric_vehicle_id, id AS asked_id, session_day AS asked_day, id
    FROM sharing
    WHERE repeats
    UNION
    SELECT electric_vehicle_id, asked_id, asked_day, other_id
    FROM lineage
    JOIN sharing USING (electric_vehicle_id, id)
    WHERE repeats AND abs(other_day - asked_day) <= {neighbour_days}
),
in_turn AS (
    SELECT
        electric_vehicle_id,
        asked_id,
        id,
        coalesce(repeated, []) AS repeated,
        row_number() OVER (
            PARTITION BY electric_vehicle_id, asked_id ORDER BY first_seen_at, plug_in_time, id
        ) AS turn,
    FROM lineage
    JOIN (SELECT electric_vehicle_id, id, first_seen_at, plug_in_time FROM crossing) USING (electric_vehicle_id, id)
    LEFT JOIN (
        SELECT electric_vehicle_id, id, list(other_id) AS repeated FROM sharing WHERE repeats GROUP BY electric_vehicle_id, id
    ) USING (electric_vehicle_id, id)
),
-- One after the other, as they were seen: who repeats none of those that stay, stays.
staying AS (
    SELECT DISTINCT electric_vehicle_id, asked_id, 0::BIGINT AS turn, NULL::UUID AS id, []::UUID[] AS ids
    FROM lineage
    UNION ALL
    SELECT
        electric_vehicle_id,
        asked_id,
        in_turn.turn,
        in_turn.id,
        if(list_has_any(repeated, ids), ids, list_append(ids, in_turn.id))
    FROM staying
    JOIN in_turn USING (electric_vehicle_id, asked_id)
    WHERE in_turn.turn = staying.turn + 1
),
counted_twice AS (
    SELECT electric_vehicle_id, id
    FROM staying
    WHERE id = asked_id AND NOT list_contains(ids, id)
),
-- What was counted twice is nobody's neighbour either.
overlapping AS (
    SELECT electric_vehicle_id, id, bool_or(begins_within) AS begins_within
    FROM sharing
    ANTI JOIN counted_twice AS other
        ON other.electric_vehicle_id = sharing.electric_vehicle_id AND other.id = sharing.other_id
    GROUP BY electric_vehicle_id, id
),
ordered AS (
    SELECT
        *,
        -- Ordered by day before all else: if the row before is too far away, so is every other.
        lag(struct_pack(session_day, session_end, final_soc_pct)) OVER (
            PARTITION BY electric_vehicle_id ORDER BY session_day, plug_in_time, id
        ) AS previous,
    FROM rows
    ANTI JOIN counted_twice USING (electric_vehicle_id, id)
)
SELECT
    electric_vehicle_id,
    id,
    coalesce(begins_within, false) AS begins_within,
    false AS counted_twice,
    CASE WHEN near THEN (epoch_us(plug_in_time) - epoch_us(previous.session_end)) / 1e6 END AS gap_seconds,
    CASE WHEN near THEN previous.final_soc_pct END AS previous_final_soc_pct,
FROM (
    SELECT *, session_day - previous.session_day <= {neighbour_days} AS near
    FROM ordered
    WHERE session_day IN ({days})
)
LEFT JOIN overlapping USING (electric_vehicle_id, id)
UNION ALL
SELECT electric_vehicle_id, id, false, true, NULL, NULL
FROM counted_twice
