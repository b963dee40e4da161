"""Text of reports: units, escapes, cells, and the answer in sentences."""
