"""What GR00T reads beside a dataset of v2.1: modality.json, stats.json, relative actions."""
