-- {vehicles} with the days on which each is due, first_day to last_day: from its creation to the day after its deletion, or to the day
-- on which a snapshot missed it. A bound that is not known is infinite. In UTC, whatever the time zone of whoever reads a view.
SELECT
    *,
    coalesce((created_at AT TIME ZONE 'UTC')::DATE, '-infinity'::DATE) AS first_day,
    least(
        (deleted_at AT TIME ZONE 'UTC')::DATE + 1, (missing_since AT TIME ZONE 'UTC')::DATE, 'infinity'::DATE
    ) AS last_day,
FROM {vehicles}
