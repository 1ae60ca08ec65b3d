"""The way back: from a dataset to what a simulator is driven with, checked and exported."""
