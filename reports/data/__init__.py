"""From a run folder to one tidy table: reading, columns, flags, and stored baselines."""
