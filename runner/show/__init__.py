"""Explaining one variant: its description, its picture, and a check of its implementations."""
