"""Markdown pages: the report of a run, and its profiles."""
