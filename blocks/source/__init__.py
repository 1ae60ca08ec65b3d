"""Sources of episodes."""
