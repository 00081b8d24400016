-- Energy by local hour, as modelled. In whole seconds and millionths of a kWh: what a session has charged up to an instant is
-- rounded down, and an hour has the difference of two such numbers, so the hours of a session sum to its energy exactly. A span
-- of more than seven days is no plan: one of a thousand years would be nine million hours.
SELECT
    report_month,
    org_id,
    price_zone,
    hour,
    is_final,
    data_through,
    modelled_energy_kwh,
    planned_energy_kwh,
FROM (
    SELECT
        report_month,
        org_id,
        price_zone,
        -- Only here, where a row is an hour and no longer a part of a session: it is slow.
        hour(to_timestamp(3600 * utc_hour) AT TIME ZONE time_zone) AS hour,
        sum(micro_kwh::DECIMAL(30, 0) * 0.000001) AS modelled_energy_kwh,
        sum(planned_micro_kwh::DECIMAL(30, 0) * 0.000001) AS planned_energy_kwh,
    FROM (
        SELECT
            report_month,
            org_id,
            price_zone,
            time_zone,
            utc_hour,
            sum(part) AS micro_kwh,
            sum(if(planned, part, 0)) AS planned_micro_kwh,
        FROM (
            SELECT
                *,
                greatest(3600 * utc_hour - begin, 0) AS since,
                least(3600 * utc_hour + 3600 - begin, seconds) AS until,
                -- Quotient and remainder apart: their product with a time fits into 64 bits, whatever the energy.
                (micro_kwh // seconds) * (until - since)
                    + (micro_kwh % seconds) * until // seconds - (micro_kwh % seconds) * since // seconds AS part,
            FROM (
                SELECT *, unnest(range(begin // 3600, (begin + seconds - 1) // 3600 + 1)) AS utc_hour
                FROM (
                    SELECT
                        report_month,
                        org_id,
                        price_zone,
                        time_zone,
                        micro_kwh,
                        coalesce(desired_seconds BETWEEN 1 AND 604800, false) AS planned,
                        if(planned, desired_from, plugged_in) AS begin,
                        CASE
                            WHEN planned THEN desired_seconds
                            WHEN charging_seconds BETWEEN 1 AND 604800 THEN charging_seconds
                            WHEN stay_seconds BETWEEN 1 AND 604800 THEN stay_seconds
                            ELSE 1
                        END AS seconds,
                    FROM (
                        SELECT
                            date_trunc('month', report_date)::DATE AS report_month,
                            org_id,
                            price_zone,
                            time_zone,
                            (energy_charged_kwh * 1000000)::BIGINT AS micro_kwh,
                            epoch_us(plug_in_time) // 1000000 AS plugged_in,
                            epoch_us(desired_charging_start_time) // 1000000 AS desired_from,
                            epoch_us(desired_charging_end_time) // 1000000 - desired_from AS desired_seconds,
                            try_cast(charging_hours * 3600 AS BIGINT) AS charging_seconds,
                            epoch_us(session_end) // 1000000 - plugged_in AS stay_seconds,
                        FROM analytics.sessions
                        WHERE energy_charged_kwh IS NOT NULL
                    )
                )
            )
        )
        GROUP BY ALL
    )
    GROUP BY ALL
)
JOIN (
{standing}
) AS standing USING (report_month)
