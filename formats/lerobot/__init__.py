"""LeRobot datasets on disk."""
