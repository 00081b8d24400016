-- One row per day of asked_days, with the columns of DayFigures in their order.
SELECT
    session_day,
    sessions,
    (SELECT count(*) FROM analytics.daily_energy AS daily WHERE daily.session_day = fleet.session_day) AS daily_energy_rows,
    (SELECT count(*) FROM analytics.daily_savings AS daily WHERE daily.session_day = fleet.session_day) AS daily_savings_rows,
    (SELECT count(*) FROM analytics.rule_hits AS daily WHERE daily.session_day = fleet.session_day) AS rule_hits_rows,
    (
        SELECT count(*) FROM analytics.unread_vehicle_days AS daily WHERE daily.session_day = fleet.session_day
    ) AS unread_vehicle_days_rows,
    energy_kwh,
    cost_eur,
    savings_eur,
    savings_rate,
    vehicles_due,
    vehicles_read,
    vehicles_failed,
    read_coverage,
    cost_coverage,
    savings_coverage,
    quarantined,
    is_final,
    vehicles_read_early,
    data_through,
    final_since,
    changed_after_final,
    sessions_maturity,
    energy_maturity,
FROM analytics.fleet_daily AS fleet
SEMI JOIN asked_days USING (session_day)
ORDER BY session_day
