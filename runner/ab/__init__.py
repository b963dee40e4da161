"""Measurement of two arms in turns, for `bench ab` and `bench selftest`."""
