"""Dataset blocks: they work on shards and datasets, unit by unit."""
