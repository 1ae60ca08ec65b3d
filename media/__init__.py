"""Pixels: the only home of PyAV and ffmpeg."""
