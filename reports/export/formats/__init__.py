"""Formats, one file each, with `write(run, journal)` and `PASSED_ONLY`."""
