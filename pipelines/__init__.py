"""Pipelines: specified, planned, run, and replayed."""
