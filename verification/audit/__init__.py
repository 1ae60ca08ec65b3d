"""Audit: the content of a recording, read by code of its own that shares nothing with the conversion."""
