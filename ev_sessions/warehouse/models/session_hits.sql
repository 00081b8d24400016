-- The hits that count of each session that is judged: of one that is kept out only what keeps it out, so that the hits of a warning
-- are the sessions that it flags.
SELECT session_day, electric_vehicle_id, id, unnest(if(kept_out.id IS NULL, errors || warnings || infos, errors)) AS rule
FROM {verdicts}
LEFT JOIN (SELECT electric_vehicle_id, session_id AS id FROM raw.quarantine) AS kept_out USING (electric_vehicle_id, id)
