"""Verbs of `bench`, one module each, found by name. Like `variants`, this folder is a list and grows with it."""
