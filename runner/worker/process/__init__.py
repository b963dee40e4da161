"""The worker process itself: its settings, what a kernel leaves behind in it, how it fails, and its parent's death."""
