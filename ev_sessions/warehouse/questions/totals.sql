-- Sums over the days asked for, with the columns of Totals in their order; ratios are ratios of sums.
SELECT
    count(session_day),
    count(*) FILTER (is_final),
    coalesce(sum(sessions), 0),
    coalesce(sum(quarantined), 0),
    coalesce(sum(flagged_sessions), 0),
    sum(energy_kwh),
    sum(cost_eur),
    sum(savings_eur),
    coalesce(sum(negative_savings_sessions), 0),
    sum(negative_savings_eur),
    sum(counterfactual_eur),
    ratio(sum(savings_with_cost_eur), sum(counterfactual_eur)),
    coalesce(sum(vehicles_due), 0),
    coalesce(sum(vehicles_read), 0),
    ratio(sum(vehicles_read), sum(vehicles_due)),
    ratio(coalesce(sum(energy_with_cost_kwh), 0), sum(energy_kwh)),
    ratio(coalesce(sum(energy_with_savings_kwh), 0), sum(energy_kwh)),
FROM analytics.fleet_daily
SEMI JOIN asked_days USING (session_day)
