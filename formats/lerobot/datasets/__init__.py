"""Datasets on disk, v3.0, v2.1 and our shards, read in one way."""
