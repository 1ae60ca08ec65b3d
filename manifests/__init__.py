"""Manifests: files that a run writes down, and robots."""
