"""Commands on pipelines and runs."""
