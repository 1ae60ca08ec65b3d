"""Replay: actions of a dataset taken back to the recording, checked and exported."""
