"""Text for people: units, escapes, cells, and the answer in sentences."""
