"""Planning a run: what would be measured, what it needs, and how long it takes."""
