"""Encoders: frames to video, with the same settings everywhere."""
