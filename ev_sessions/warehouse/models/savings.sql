-- Cost, savings and forecast of the groups {grain} over {rows}; a group without sessions has counts of 0 and no sums.
-- Needs the macro ratio. Savings are signed and never clipped.
WITH sums AS (
    SELECT
        {grain},
        count(id) AS sessions,
        count(energy_charged_kwh) AS sessions_with_energy,
        sum(energy_charged_kwh) AS energy_kwh,
        count(actual_cost_eur) AS sessions_with_cost,
        sum(actual_cost_eur) AS cost_eur,
        count(actual_savings_eur) AS sessions_with_savings,
        sum(actual_savings_eur) AS savings_eur,
        count(id) FILTER (actual_savings_eur < 0) AS negative_savings_sessions,
        -- Not sum() FILTER: that is null where savings are known and none is negative.
        sum(CASE WHEN actual_savings_eur < 0 THEN actual_savings_eur WHEN actual_savings_eur >= 0 THEN 0 END)
            AS negative_savings_eur,
        sum(expected_savings_eur) AS expected_savings_eur,
        count(counterfactual_cost_eur) AS sessions_with_counterfactual,
        sum(counterfactual_cost_eur) AS counterfactual_eur,
        sum(actual_savings_eur) FILTER (actual_cost_eur IS NOT NULL) AS savings_with_cost_eur,
        sum(actual_savings_eur) FILTER (energy_charged_kwh IS NOT NULL) AS savings_with_energy_eur,
        sum(energy_charged_kwh) FILTER (actual_savings_eur IS NOT NULL) AS energy_with_savings_kwh,
        sum(actual_cost_eur) FILTER (energy_charged_kwh IS NOT NULL) AS cost_with_energy_eur,
        sum(energy_charged_kwh) FILTER (actual_cost_eur IS NOT NULL) AS energy_with_cost_kwh,
        count(forecast_error_eur) AS sessions_with_forecast,
        sum(expected_savings_eur) FILTER (forecast_error_eur IS NOT NULL) AS expected_with_savings_eur,
        sum(actual_savings_eur) FILTER (forecast_error_eur IS NOT NULL) AS savings_with_expected_eur,
        sum(forecast_error_eur) AS forecast_bias_eur,
        sum(abs(forecast_error_eur)) AS absolute_forecast_error_eur,
    FROM {rows}
    GROUP BY {grain}
)
SELECT
    *,
    ratio(savings_with_cost_eur, counterfactual_eur) AS savings_rate,
    ratio(sessions_with_counterfactual, sessions) AS savings_rate_coverage,
    ratio(savings_with_energy_eur, energy_with_savings_kwh) AS savings_per_kwh,
    ratio(coalesce(energy_with_savings_kwh, 0), energy_kwh) AS savings_coverage,
    ratio(cost_with_energy_eur, energy_with_cost_kwh) AS cost_per_kwh,
    ratio(coalesce(energy_with_cost_kwh, 0), energy_kwh) AS cost_coverage,
    ratio(absolute_forecast_error_eur, sessions_with_forecast) AS forecast_mae_eur,
    ratio(savings_with_expected_eur, expected_with_savings_eur) AS forecast_realisation,
    ratio(sessions_with_forecast, sessions) AS forecast_coverage,
FROM sums
