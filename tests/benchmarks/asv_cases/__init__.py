"""Benchmarks for asv: found by the folder that its settings name."""
