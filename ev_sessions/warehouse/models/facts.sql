-- What the rules, and the measures of a session, look at: raw sessions, with what follows from each alone.
-- A state of charge that is out of range is no measurement, and null here; the columns `..._as_sent` have it.
-- Products are doubles or wide decimals: the largest numbers that can be stored must not overflow.
SELECT
    *,
    (epoch_us(session_end) - epoch_us(plug_in_time)) / 1e6 AS stay_seconds,
    least(
        plug_in_time,
        unplug_time,
        inferred_session_end,
        desired_charging_start_time,
        desired_charging_end_time,
        charge_deadline
    ) AS earliest_stamp,
    ratio(energy_charged_kwh, avg_charge_power_kw)::DECIMAL(38, 6) AS charging_hours,
    final_soc_pct::DECIMAL(38, 6) - initial_soc_pct AS soc_gain_pct,
    CASE WHEN soc_gain_pct >= 10 THEN energy_charged_kwh / (soc_gain_pct / 100) END AS implied_capacity_kwh,
    -- The energy that a price per kWh can be told of.
    CASE WHEN energy_charged_kwh > 0 THEN energy_charged_kwh::DECIMAL(38, 6) END AS priced_kwh,
    actual_cost_eur::DECIMAL(38, 6) + actual_savings_eur AS counterfactual_cost_eur,
    (actual_cost_eur IS NOT NULL)::TINYINT + (actual_savings_eur IS NOT NULL)::TINYINT + (energy_charged_kwh IS NOT NULL)::TINYINT
        AS figures_known,
FROM (
    SELECT
        session.* REPLACE (
            CASE WHEN initial_soc_pct BETWEEN {soc_min_pct} AND {soc_max_pct} THEN initial_soc_pct END AS initial_soc_pct,
            CASE WHEN final_soc_pct BETWEEN {soc_min_pct} AND {soc_max_pct} THEN final_soc_pct END AS final_soc_pct,
            CASE WHEN target_soc_pct BETWEEN {target_soc_min_pct} AND {soc_max_pct} THEN target_soc_pct END AS target_soc_pct
        ),
        initial_soc_pct AS initial_as_sent,
        final_soc_pct AS final_as_sent,
        target_soc_pct AS target_as_sent,
        coalesce(unplug_time, inferred_session_end) AS session_end,
        vehicle.created_at AS vehicle_created_at,
        vehicle.battery_capacity_kwh,
    FROM {sessions} AS session
    LEFT JOIN raw.vehicles AS vehicle USING (electric_vehicle_id)
    WHERE session_day IN ({days})
)
