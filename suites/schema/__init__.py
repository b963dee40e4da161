"""From YAML to a `Suite`: reading the text, the types of its keys, and errors with file, line and column."""
