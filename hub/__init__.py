"""Fetching from and pushing to the Hub; the only home of huggingface_hub."""
