-- Records that cannot be used: they come with the answer that brings them and go with the newer one that mends them.

CREATE OR REPLACE TEMP TABLE entering AS
SELECT rejection.*, least(rejection.fetched_at, known.first_seen_at) AS first_seen_at
FROM rejections AS rejection
LEFT JOIN raw.quarantine AS known USING (electric_vehicle_id, record_key)
WHERE (known.fetched_at IS NULL OR known.fetched_at < rejection.fetched_at OR known.reasons[1] LIKE 'id_of_two_vehicles:%')
    AND NOT EXISTS (
        FROM (
            SELECT electric_vehicle_id, id, fetched_at FROM sightings
            UNION ALL
            SELECT electric_vehicle_id, id, fetched_at FROM standing
            UNION ALL
            SELECT electric_vehicle_id, id, fetched_at FROM departed
        ) AS in_order
        WHERE in_order.electric_vehicle_id = rejection.electric_vehicle_id
            AND in_order.id = rejection.session_id
            AND in_order.fetched_at > rejection.fetched_at
    )
    AND NOT EXISTS (
        FROM later_reads AS later
        WHERE later.electric_vehicle_id = rejection.electric_vehicle_id
            AND later.first_day <= rejection.first_day
            AND later.last_day >= rejection.last_day
            AND later.fetched_at > rejection.fetched_at
    );

CREATE OR REPLACE TEMP TABLE mended AS
SELECT entry.electric_vehicle_id, entry.record_key
FROM raw.quarantine AS entry
WHERE entry.reasons[1] NOT LIKE 'id_of_two_vehicles:%'
    AND (
        EXISTS (
            FROM landing_reads AS read
            WHERE read.electric_vehicle_id = entry.electric_vehicle_id
                AND read.first_day <= entry.first_day
                AND read.last_day >= entry.last_day
                AND read.fetched_at > entry.fetched_at
        )
        OR EXISTS (
            FROM fresh
            WHERE fresh.electric_vehicle_id = entry.electric_vehicle_id
                AND fresh.id = try_cast(entry.record_key AS UUID)
                AND fresh.fetched_at > entry.fetched_at
        )
    );

-- Rule 2: the same id under two vehicles. Both rows stay in raw.sessions, and both are listed here.
CREATE OR REPLACE TEMP TABLE clashing AS
WITH present AS (
    SELECT electric_vehicle_id, id, session_day
    FROM standing
    ANTI JOIN leaving USING (electric_vehicle_id, id)
    UNION ALL
    SELECT electric_vehicle_id, id, session_day
    FROM fresh
    WHERE superseded_at IS NULL
)
SELECT electric_vehicle_id, id, session_day
FROM present
QUALIFY count(*) OVER (PARTITION BY id) > 1;

CREATE OR REPLACE TEMP TABLE unclashed AS
SELECT entry.electric_vehicle_id, entry.record_key
FROM raw.quarantine AS entry
JOIN concerned ON concerned.id = try_cast(entry.record_key AS UUID)
ANTI JOIN clashing ON clashing.electric_vehicle_id = entry.electric_vehicle_id AND clashing.id = concerned.id
WHERE entry.reasons[1] LIKE 'id_of_two_vehicles:%';

-- To tell afterwards which rows came under quarantine or out of it.
CREATE OR REPLACE TEMP TABLE quarantined_before AS
SELECT electric_vehicle_id, try_cast(record_key AS UUID) AS id
FROM raw.quarantine
SEMI JOIN concerned ON concerned.id = try_cast(record_key AS UUID);

-- A record whose own day is unknown counts on the first of its days. Where that was, it counts no more.
CREATE OR REPLACE TEMP TABLE uncounted AS
SELECT entry.first_day AS session_day
FROM raw.quarantine AS entry
LEFT JOIN entering USING (electric_vehicle_id, record_key)
LEFT JOIN mended USING (electric_vehicle_id, record_key)
WHERE entry.first_day < entry.last_day
    AND if(entering.record_key IS NULL, mended.record_key IS NOT NULL, entering.first_day <> entry.first_day);

DELETE FROM raw.quarantine AS entry
USING (
    SELECT electric_vehicle_id, record_key FROM entering
    UNION SELECT electric_vehicle_id, record_key FROM mended
    UNION SELECT electric_vehicle_id, record_key FROM unclashed
) AS gone
WHERE gone.electric_vehicle_id = entry.electric_vehicle_id AND gone.record_key = entry.record_key;

INSERT INTO raw.quarantine BY NAME
SELECT * EXCLUDE (session_id), false AS in_sessions, $run_id AS run_id
FROM entering;

INSERT INTO raw.quarantine BY NAME
SELECT
    session.org_id,
    session.user_id,
    session.electric_vehicle_id,
    session.id::VARCHAR AS record_key,
    true AS in_sessions,
    ['id_of_two_vehicles: the same id also stands under another vehicle'] AS reasons,
    to_json(struct_pack(
        id := session.id,
        plug_in_time := session.plug_in_time,
        unplug_time := session.unplug_time,
        inferred_session_end := session.inferred_session_end,
        desired_charging_start_time := session.desired_charging_start_time,
        desired_charging_end_time := session.desired_charging_end_time,
        charge_deadline := session.charge_deadline,
        target_soc_pct := session.target_soc_pct,
        initial_soc_pct := session.initial_soc_pct,
        final_soc_pct := session.final_soc_pct,
        energy_charged_kwh := session.energy_charged_kwh,
        avg_charge_power_kw := session.avg_charge_power_kw,
        peak_charge_power_kw := session.peak_charge_power_kw,
        actual_cost_eur := session.actual_cost_eur,
        expected_savings_eur := session.expected_savings_eur,
        actual_savings_eur := session.actual_savings_eur,
        is_at_home := session.is_at_home,
        session_outcome := session.session_outcome
    )) AS payload,
    session.session_day AS first_day,
    session.session_day AS last_day,
    session.first_seen_at,
    session.fetched_at,
    $run_id AS run_id
FROM raw.sessions AS session
JOIN clashing
    ON clashing.session_day = session.session_day
    AND clashing.electric_vehicle_id = session.electric_vehicle_id
    AND clashing.id = session.id
ANTI JOIN raw.quarantine AS entry
    ON entry.electric_vehicle_id = session.electric_vehicle_id
    AND entry.record_key = session.id::VARCHAR;
