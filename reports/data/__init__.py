"""From a run's folder to one tidy table: reading, columns, flags, and stored baselines."""
