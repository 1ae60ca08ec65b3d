"""GR00T's files beside a dataset of v2.1: modality.json, stats.json, relative actions."""
