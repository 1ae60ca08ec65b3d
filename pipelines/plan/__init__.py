"""Plans: the episodes, datasets and base that a run works on."""
