"""What a pipeline is, how it is built and how it is run."""
