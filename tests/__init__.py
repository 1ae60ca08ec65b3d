"""Tests mirror the folders; contracts.py holds the suites a new implementation inherits."""
