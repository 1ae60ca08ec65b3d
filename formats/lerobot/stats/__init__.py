"""Statistics of features: computed exactly, stored, compared."""
