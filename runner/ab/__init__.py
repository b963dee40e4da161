"""Two arms measured against each other in turns: `bench ab` and `bench selftest`."""
