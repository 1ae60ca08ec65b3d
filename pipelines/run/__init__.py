"""Runs: created, resumed, watched, cancelled, reported."""
