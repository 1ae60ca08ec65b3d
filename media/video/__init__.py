"""Packets and frames of a video file: order, times, keyframes, checks."""
