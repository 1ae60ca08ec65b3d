"""Pictures in memory: JPEG and PNG to RGB, colour spaces, sizes."""
