"""Formats: recordings in, datasets and training jobs out."""
