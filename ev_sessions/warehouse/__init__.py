"""The warehouse: one DuckDB file, its one writer, its readers, and every line of SQL. No HTTP, no Dagster."""
