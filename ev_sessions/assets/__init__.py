"""Dagster assets: a few lines each, calling ingest and warehouse.

Dagster reads the annotations of what it decorates, so these modules, the checks and the schedules do without postponed ones.
"""
