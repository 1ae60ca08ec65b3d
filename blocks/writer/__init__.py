"""Writers of episodes."""
