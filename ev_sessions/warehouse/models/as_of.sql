-- raw.sessions as it was known at $instant: of each session the version that the newest read begun by then had shown, unless a
-- read begun by then no longer listed it, or sent it in a form that cannot be typed. A row that an error rule keeps out of what
-- is derived is in it, as it is in raw.sessions. What a version does not keep the former values of shows the latest ones:
-- fetched_at and run_id (its last read), user_id, session_day where SESSION_DAY changed.
SELECT *
FROM raw.sessions
WHERE valid_from <= $instant
UNION ALL BY NAME
SELECT * EXCLUDE (replaced_at, replaced_by_run_id, end_reason, changed_fields)
FROM raw.session_versions
WHERE valid_from <= $instant AND replaced_at > $instant
