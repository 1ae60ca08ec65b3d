"""Features on disk: arrow types, values of rows, what info.json says of a camera."""
