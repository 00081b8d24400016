-- raw.quarantine, as far as the rows of raw.sessions on the days asked for are in it: those that judged finds an error in, and those
-- that the landing found under two vehicles. Needs the tables asked_days(session_day) and judged.
CREATE OR REPLACE TEMP TABLE kept_out AS
SELECT
    session_day,
    electric_vehicle_id,
    id,
    list_concat(clash.rules, errors) AS rules,
    list_concat(clash.reasons, list_transform(errors, lambda name: {reason})) AS reasons,
FROM (FROM judged WHERE len(errors) > 0) AS judged
FULL JOIN (
    -- The landing puts it first.
    SELECT first_day AS session_day, electric_vehicle_id, session_id AS id, rules[:1] AS rules, reasons[:1] AS reasons
    FROM raw.quarantine
    WHERE in_sessions
        AND first_day IN (SELECT session_day FROM asked_days)
        AND rules[1] = 'id_of_two_vehicles'
) AS clash USING (session_day, electric_vehicle_id, id)
ANTI JOIN (
    -- A record that the API now sends in a form that cannot be used is listed as that.
    SELECT electric_vehicle_id, session_id AS id FROM raw.quarantine WHERE NOT in_sessions
) AS unusable USING (electric_vehicle_id, id);

DELETE FROM raw.quarantine
WHERE in_sessions AND first_day IN (SELECT session_day FROM asked_days);

{into_quarantine}
