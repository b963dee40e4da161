"""Tables of a run: Markdown, CSV, and the terminal."""
