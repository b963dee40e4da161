"""The formats: one file each, with `write(run, journal)`; `PASSED_ONLY` where it has no place for other cases."""
