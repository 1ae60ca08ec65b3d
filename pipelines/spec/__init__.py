"""Pipeline files: read, checked, resolved to blocks, and written for others."""
