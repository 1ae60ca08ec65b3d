"""Statistics of an existing dataset, recomputed from its rows and frames."""
