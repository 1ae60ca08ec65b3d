"""What trainers are started with: configurations, commands and job scripts for a dataset that is there."""
