"""Training: configurations, commands and job scripts for an existing dataset."""
