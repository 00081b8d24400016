-- The verdicts: of each session that breaks a rule the names of those rules, by severity.
SELECT *
FROM (
    SELECT
        electric_vehicle_id,
        id,
        session_day,
        price_zone,
        coalesce({errors}, []) AS errors,
        coalesce({warnings}, []) AS warnings,
        coalesce({infos}, []) AS infos,
    FROM (
{facts}
    )
    LEFT JOIN (
{neighbours}
    ) USING (electric_vehicle_id, id)
)
WHERE len(errors) + len(warnings) + len(infos) > 0
