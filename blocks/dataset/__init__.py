"""Dataset blocks: what is done with shards and datasets, unit by unit."""
