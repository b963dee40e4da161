"""Measuring: workers, clocks, memory, verification, the journal, and the command line."""
