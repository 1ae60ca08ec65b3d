"""Copying clips between video files without encoding them, and encoding only what cannot be copied."""
