"""What is written down: manifests, shards, reports and robot descriptions."""
