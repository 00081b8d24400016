"""One window of one fleet, from plan to staged parts: plan, fetch, place, stage. No Dagster, no DuckDB."""
