"""Steps: filters and maps of episodes."""
