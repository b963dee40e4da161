"""What a run says beside its table: sweeps over keys, directions, threads, operators."""
