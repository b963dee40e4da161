"""Typed rows of the files that a run writes, and how their fields are read."""
