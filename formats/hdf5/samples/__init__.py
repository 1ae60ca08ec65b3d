"""Sample files of every layout, from one generator."""
