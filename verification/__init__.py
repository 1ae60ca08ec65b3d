"""Verification of datasets: by their own rules, by those of their consumers, against their source."""
