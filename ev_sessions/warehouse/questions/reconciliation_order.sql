-- Every vehicle: those never reconciled first, then by when they were. The second column: whether it differed then.
WITH newest AS (
    SELECT electric_vehicle_id, max(asked_at) AS asked_at, arg_max(differs, asked_at) AS differed
    FROM (
        SELECT electric_vehicle_id, asked_at, bool_or(outcome = 'differs') AS differs
        FROM raw.reconciliations
        WHERE electric_vehicle_id IS NOT NULL
        GROUP BY ALL
    )
    GROUP BY electric_vehicle_id
)
SELECT electric_vehicle_id, coalesce(differed, false)
FROM raw.vehicles
LEFT JOIN newest USING (electric_vehicle_id)
WHERE org_id = $org_id
ORDER BY asked_at NULLS FIRST, electric_vehicle_id
