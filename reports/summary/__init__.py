"""Summaries of a run beside its table: sweeps over keys, directions, threads, operators."""
