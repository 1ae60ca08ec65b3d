"""Features on disk: arrow types, values of rows, the keys of info.json for a camera."""
