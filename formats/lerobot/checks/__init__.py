"""What a finished dataset is checked for: one file per check."""
