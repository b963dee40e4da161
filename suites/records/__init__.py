"""Typed rows of the files that a run writes: how each field is declared, and how it is read."""
