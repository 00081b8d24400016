"""Durable part files between fetch and landing: written by ingest, read by the warehouse."""
