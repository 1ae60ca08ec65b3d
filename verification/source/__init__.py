"""Source check: a dataset against the recordings that it was made from."""
