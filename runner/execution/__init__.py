"""A run: its session, its folder on disk, resuming it, and its progress."""
