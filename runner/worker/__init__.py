"""What runs in a worker, the process that measures: probing, clocks, calls, verification, profiling."""
