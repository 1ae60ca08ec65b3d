"""Tests mirror the path of what they test; helpers are in support/, contract suites in robotrove.testing."""
