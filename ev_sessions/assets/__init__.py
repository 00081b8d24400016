"""Dagster assets: a few lines each, calling ingest and warehouse."""
