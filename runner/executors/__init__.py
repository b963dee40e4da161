"""Executors: where a run is measured. One machine is the default; Ray and SLURM are others."""
