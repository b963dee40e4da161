"""Pages in Markdown: the report of a run, and its profiles."""
