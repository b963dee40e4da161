"""The worker process, which measures: probes, clocks, calls, proof, profiles."""
